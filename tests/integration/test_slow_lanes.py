"""A calendar whose connection hangs keeps its own writer waiting, and nobody else's."""

import threading

import pytest

from outbox.lane_store import LaneStore
from outbox.pusher import Pusher
from tests.integration.conftest import World, eventually, job
from tests.integration.steps import InterruptedGoogle, lane_pusher


def test_a_push_that_waits_for_google_leaves_its_slot_to_somebody_else(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("outbox.slots.SLOW_SECONDS", 0.05)
    calendars = [world.connect("u_ana"), world.connect("u_bo")]
    world.commit("job_1", job("J-1"))
    answered = threading.Event()

    def delivered() -> int:
        return sum(world.titles(calendar) == ["J-1 · Dallas → Memphis"] for calendar in calendars)

    with world.engine() as engine:
        engine.relay.relay_batch()
        google = InterruptedGoogle(world, before=lambda: answered.wait(60))
        with lane_pusher(world, engine, google) as lanes:
            pusher = Pusher(LaneStore(engine.pool), lanes, concurrency=1, stop=world.stop)
            pusher.loop.start()
            try:
                eventually(lambda: delivered() == 1)
                answered.set()
                eventually(lambda: delivered() == 2)
            finally:
                answered.set()
                world.stop.set()
                pusher.loop.wake()
                assert pusher.loop.join(30)
                assert pusher.finish(30)
