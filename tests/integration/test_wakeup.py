"""The listening connection: a hint that comes, and a peer that takes every byte and says nothing."""

from collections.abc import Iterator

import psycopg
import pytest

from outbox import wakeup
from outbox.wakeup import Listener
from tests.faults.proxy import PostgresProxy, running_loop
from tests.integration.conftest import World, eventually, job


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
