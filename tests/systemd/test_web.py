"""The web app under a real systemd: its socket stays open, so that nobody is turned away while it changes."""

import socket
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import pytest
import requests

from tests.integration.conftest import eventually
from tests.systemd.machine import Machine
from tests.systemd.test_daemon import free_port

WEB, SOCKET = "calendar-sync-web.service", "calendar-sync-web.socket"

CALLERS = 3
"""Who ask all the time, each question over a connection of its own."""


class Asking:
    """What came of the questions so far."""

    def __init__(self) -> None:
        self.stop = threading.Event()
        self.answers: list[str] = []

    def more(self, number: int) -> None:
        """Wait until so many more were answered."""
        wanted = len(self.answers) + number
        eventually(lambda: len(self.answers) >= wanted)


@contextmanager
def asking(url: str) -> Iterator[Asking]:
    """Ask without a pause."""
    asked = Asking()

    def ask() -> None:
        while not asked.stop.is_set():
            try:
                asked.answers.append(requests.get(f"{url}/healthz", timeout=60, headers={"Connection": "close"}).text)
            except requests.RequestException as error:
                asked.answers.append(str(error))

    with ThreadPoolExecutor(CALLERS) as threads:
        try:
            for _ in range(CALLERS):
                threads.submit(ask)
            yield asked
        finally:
            asked.stop.set()


@pytest.fixture
def url(installed: Machine, drop_in: Callable[[str, str], None]) -> str:
    """Where the socket listens; the app is not started yet."""
    port = free_port()
    drop_in(SOCKET, f"[Socket]\nListenStream=\nListenStream=127.0.0.1:{port}\n")
    installed.run("systemctl", "start", SOCKET)
    return f"http://127.0.0.1:{port}"


def workers(machine: Machine) -> set[str]:
    """The processes that answer."""
    master = machine.show(WEB, "MainPID")
    return set(machine.call("cat", f"/proc/{master}/task/{master}/children").stdout.split())


def test_the_first_question_starts_it_and_is_answered(installed: Machine, url: str) -> None:
    assert installed.show(WEB, "ActiveState") == "inactive"
    assert requests.get(f"{url}/readyz", timeout=60).json() == {"status": "ready"}
    assert installed.show(WEB, "StatusText") == "Serving."


def test_it_is_reloaded_and_restarted_and_no_request_is_dropped(installed: Machine, url: str) -> None:
    installed.run("systemctl", "start", WEB)
    with asking(url) as asked:
        asked.more(20)
        first = workers(installed)
        installed.run("systemctl", "reload", WEB)
        eventually(lambda: len(now := workers(installed)) == len(first) and not now & first)
        asked.more(20)
        master = installed.show(WEB, "MainPID")
        installed.run("systemctl", "restart", WEB)
        assert installed.show(WEB, "MainPID") != master
        asked.more(20)
    assert set(asked.answers) == {'{"status": "ok"}'}


def test_it_is_not_ready_where_no_worker_can_serve(
    installed: Machine, url: str, drop_in: Callable[[str, str], None]
) -> None:
    drop_in(WEB, "[Service]\nRestart=no\nEnvironment=GUNICORN_CMD_ARGS=--chdir=/nowhere\n")
    assert installed.call("systemctl", "start", WEB).returncode != 0
    assert installed.show(WEB, "ActiveState") == "failed"


def test_a_wrong_setting_does_not_have_it_started_for_ever_by_somebody_who_waits(installed: Machine, url: str) -> None:
    settings = "/etc/calendar-sync/environment"
    installed.run("sed", "--in-place", "s/^PUBLIC_BASE_URL=/NO_&/", settings)
    # Three times at most, however slow this machine is.
    fewer = "[Socket]\nTriggerLimitIntervalSec=600\nTriggerLimitBurst=3\n"
    installed.write(f"/etc/systemd/system/{SOCKET}.d/fewer.conf", fewer)
    installed.run("systemctl", "daemon-reload")
    with socket.create_connection(("127.0.0.1", int(url.rpartition(":")[2]))):
        eventually(lambda: installed.show(SOCKET, "ActiveState") == "failed")
    eventually(lambda: installed.show(WEB, "ActiveState") == "failed")
    # Mended, and restarted as docs/upgrading.md says.
    installed.run("sed", "--in-place", "s/^NO_//", settings)
    installed.run("systemctl", "restart", WEB)
    assert requests.get(f"{url}/readyz", timeout=60).json() == {"status": "ready"}
