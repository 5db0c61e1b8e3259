"""The daemon as systemd sees it: ready once it serves, alive by progress, stopping when told to."""

import os
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from uuid import uuid4

import pytest

from outbox.runtime import CLOSING_SECONDS, STOP_SECONDS
from tests.faults.plan import Moment
from tests.faults.proxy import PostgresProxy, running_loop
from tests.integration.conftest import World, eventually, job

PROJECT = Path(__file__).resolve().parents[2]

LIMIT = 30.0
"""Seconds within which anything here must have happened."""


class Manager:
    """The receiving end of the notify protocol, as the service manager holds it."""

    def __init__(self) -> None:
        name = f"calendar-sync-{uuid4().hex}"
        self.address = f"@{name}"
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.settimeout(LIMIT)
        self._socket.bind(f"\0{name}")

    def hear(self) -> dict[str, str]:
        """The next message's assignments."""
        return dict(line.split("=", 1) for line in self._socket.recv(4096).decode().splitlines())

    def has_heard(self) -> bool:
        """Whether a message waits to be read."""
        self._socket.setblocking(False)
        try:
            return bool(self._socket.recv(4096, socket.MSG_PEEK))
        except BlockingIOError:
            return False
        finally:
            self._socket.settimeout(LIMIT)

    def close(self) -> None:
        self._socket.close()


@pytest.fixture
def manager(monkeypatch: pytest.MonkeyPatch) -> Iterator[Manager]:
    """A manager whose services are to show progress every three seconds."""
    listening = Manager()
    monkeypatch.setenv("NOTIFY_SOCKET", listening.address)
    monkeypatch.setenv("WATCHDOG_USEC", "3000000")
    monkeypatch.delenv("WATCHDOG_PID", raising=False)
    yield listening
    listening.close()


def test_the_manager_hears_ready_then_pings_and_the_backlog_then_stopping(manager: Manager, world: World) -> None:
    with world.stage.start_daemon() as daemon:
        assert manager.hear() == {"READY": "1", "STATUS": "Serving."}
        heard: list[dict[str, str]] = []
        while {"STATUS": "Serving. Nothing waits."} not in heard or heard.count({"WATCHDOG": "1"}) < 2:
            heard.append(manager.hear())
        calendar = world.connect("u_ana")
        world.commit("job_1", job("J-1"))
        eventually(lambda: world.titles(calendar) == ["J-1 · Dallas → Memphis"])
        assert daemon.stop() == 0
        while "STOPPING" not in (message := manager.hear()):
            assert message.keys() <= {"WATCHDOG", "STATUS"}
        assert message == {"STOPPING": "1", "STATUS": "Finishing what is in flight."}
        asked_for = []
        while manager.has_heard():
            if more := manager.hear().get("EXTEND_TIMEOUT_USEC"):
                asked_for.append(int(more) / 1_000_000)
        # Each part that ends gives the rest its time: until then, and no longer.
        assert len(asked_for) > 1
        assert asked_for == sorted(asked_for, reverse=True)
        assert asked_for[0] <= STOP_SECONDS + CLOSING_SECONDS


def test_a_daemon_without_its_database_is_never_ready(manager: Manager, make_world: Callable[..., World]) -> None:
    world = make_world(DATABASE_URL="postgresql://nobody@127.0.0.1:1/nowhere")
    with world.stage.start_daemon() as daemon:
        assert daemon.wait(LIMIT) == 3
    assert not manager.has_heard()


def test_a_drain_that_is_stopped_says_that_not_all_was_pushed(world: World) -> None:
    calendars = [world.connect(user) for user in ("u_ana", "u_ben")]
    world.commit("job_1", job("J-1"))
    with running_loop() as loop, PostgresProxy(world.stage.environment["DATABASE_URL"], loop) as database:
        pushing = database.set_trap("push/settle_events", Moment.BEFORE)
        verb = subprocess.Popen(
            [sys.executable, str(PROJECT / "daemon.py"), "drain"],
            env={**os.environ, **world.stage.environment, "DATABASE_URL": database.url},
            stderr=subprocess.PIPE,
            text=True,
        )
        try:
            assert pushing.met.wait(LIMIT)
            verb.send_signal(signal.SIGTERM)
            pushing.release()
            _, said = verb.communicate(timeout=LIMIT)
        finally:
            verb.kill()
    assert sorted(len(world.titles(calendar)) for calendar in calendars) == [0, 1]
    assert verb.returncode == 1
    assert said.splitlines()[-1] == "calendar-sync: stopped before all that is due was pushed; repeat it"
