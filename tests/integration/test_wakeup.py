"""The listening connection: a hint that comes, a peer that takes every byte and says nothing, and no hints at all."""

from collections.abc import Iterator

import psycopg
import pytest

from outbox import wakeup
from outbox.wakeup import Listener
from tests.faults.proxy import PostgresProxy, running_loop
from tests.integration.conftest import World, eventually, job
from web.demo.stage import bring_up_to_date


@pytest.fixture
def proxy(world: World) -> Iterator[PostgresProxy]:
    """A TCP way to the test's database that can go deaf."""
    with running_loop() as loop, PostgresProxy(world.database_url, loop) as proxy:
        yield proxy


def test_a_peer_that_goes_deaf_is_hung_up_on_and_the_hints_come_again(
    world: World, proxy: PostgresProxy, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(wakeup, "ANSWER_SECONDS", 0.3)
    woken: list[None] = []
    listener = Listener(proxy.url, lambda: woken.append(None))
    listener.listen()
    eventually(proxy.deafen_listener)
    monkeypatch.setattr(wakeup, "HEARTBEAT_SECONDS", 0.0)
    listener._next_heartbeat = 0.0
    with pytest.raises(psycopg.OperationalError):
        listener.listen()
    woken.clear()
    listener.listen()
    assert woken, "what was missed meanwhile is looked for"
    woken.clear()
    world.commit("job_1", job())
    eventually(lambda: listener.listen() == 0.0 and bool(woken))
    listener.close()


def test_with_the_trigger_off_nobody_is_notified_and_the_daemon_delivers_all_the_same(world: World) -> None:
    calendar = world.connect("u_ana")
    world.execute("ALTER TABLE calendar_sync.outbox DISABLE TRIGGER notify_outbox")
    bring_up_to_date(world.database_url)  # a choice of the owner's, which an upgrade leaves alone
    with psycopg.connect(world.database_url, autocommit=True) as ear, world.stage.start_daemon() as daemon:
        ear.execute(f"LISTEN {wakeup.CHANNEL}")
        for number in ("J-1", "J-2"):  # the second finds a daemon that has seen the outbox empty
            world.commit(f"job_{number}", job(number))
            eventually(lambda number=number: f"{number} · Dallas → Memphis" in world.titles(calendar))  # type: ignore[misc]
        assert daemon.stop() == 0
        assert list(ear.notifies(timeout=0)) == []
