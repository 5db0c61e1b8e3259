"""One writer to a calendar at a time, and nothing that a late one does is written or stays."""

import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pytest

from outbox.google.calls import Call
from outbox.google.client import GoogleCalendar
from outbox.google.meaning import Answer
from outbox.lane import Lease, LeaseLostError, Settlement
from outbox.lane_store import LaneStore
from outbox.pusher import LEASE_SECONDS, Pusher
from tests.integration.conftest import World, eventually, job
from tests.integration.interleaving import BOUND
from tests.integration.steps import (
    InterruptedGoogle,
    freeze,
    lane_pusher,
    lease_one,
    pair,
    pending,
    read_due,
    requests_for,
)


def title(number: str) -> str:
    """The title of the event of a job with this number."""
    return f"{number} · Dallas → Memphis"


def place(world: World) -> str:
    """A connected calendar on which `job_1` stands; returns the calendar's id."""
    calendar = world.connect("u_ana")
    world.commit("job_1", job("J-1"))
    world.sync()
    return calendar


def test_two_pushers_never_hold_one_lane(world: World) -> None:
    calendars = {world.connect(f"u_{number}") for number in range(6)}
    world.commit("job_1", job("J-1"))
    with world.engine() as engine, ThreadPoolExecutor(6) as threads:
        engine.relay.relay_batch()
        store = LaneStore(engine.pool)
        asked = [
            threads.submit(store.lease, limit=2, troubled_limit=2, lease_seconds=LEASE_SECONDS, last_call_ends_by=0.0)
            for _ in range(6)
        ]
        leases = [lease for future in asked for lease in future.result(BOUND)]
        leases += store.lease(limit=6, troubled_limit=6, lease_seconds=LEASE_SECONDS, last_call_ends_by=0.0)
    assert len(leases) == len({lease.token for lease in leases}) == 6
    assert {lease.calendar_id for lease in leases} == calendars


def test_a_dead_holders_lane_is_put_back_when_its_lease_ends_by_the_servers_clock(world: World) -> None:
    calendar = place(world)
    freeze(world)
    world.commit("job_1", job("J-2"))
    with world.engine() as engine:
        engine.relay.relay_batch()
        lease_one(engine)
        world.advance(LEASE_SECONDS - 0.001)
        assert engine.janitor.expire_leases() == 0
        engine.sync()
        assert world.titles(calendar) == [title("J-1")]
        world.advance(0.001)
        assert engine.janitor.expire_leases() == 1
        engine.sync()
    assert world.titles(calendar) == [title("J-2")]


def test_a_holder_whose_lease_ended_settles_nothing_and_is_counted(world: World) -> None:
    calendar = world.connect("u_ana")
    world.commit("job_1", job("J-1"))
    with world.engine() as engine:
        engine.relay.relay_batch()
        google = InterruptedGoogle(world, after=lambda: world.advance(LEASE_SECONDS + 1))
        with lane_pusher(world, engine, google) as lanes:
            pusher = Pusher(LaneStore(engine.pool), lanes, concurrency=1, stop=world.stop)
            pusher.drain()
            pusher.finish(30)
        assert pusher.lost_leases == 1
        assert pending(world) == ["job_1"]
        assert pair(world, calendar).in_doubt
        assert engine.janitor.expire_leases() == 1
        engine.sync()
    assert world.titles(calendar) == [title("J-1")]
    assert not pair(world, calendar).in_doubt
    assert pending(world) == []


def take_next_id(store: LaneStore, lease: Lease) -> None:
    """Give up the event id of `job_1`."""
    store.take_next_id(lease, "job_1", retired="old", seen_cancelled=False, event_id="new", id_generation=2)


WRITES: dict[str, Callable[[LaneStore, Lease], object]] = {
    "an intent": lambda store, lease: store.begin(lease, []),
    "a new event id": take_next_id,
    "a settlement": lambda store, lease: store.settle(lease, Settlement(done=read_due(store, lease, limit=5)[0])),
}


@pytest.mark.parametrize("write", WRITES.values(), ids=WRITES)
def test_every_write_under_a_lost_lease_is_refused(world: World, write: Callable[[LaneStore, Lease], object]) -> None:
    calendar = place(world)
    world.commit("job_1", job("J-2"))
    with world.engine() as engine:
        engine.relay.relay_batch()
        lost = lease_one(engine)
        world.advance(LEASE_SECONDS)
        engine.janitor.expire_leases()
        held = lease_one(engine)
        before = pair(world, calendar), pending(world)
        with pytest.raises(LeaseLostError):
            write(LaneStore(engine.pool), lost)
        assert (pair(world, calendar), pending(world)) == before
        assert world.execute("SELECT lease_token FROM calendar_sync.lane") == [(held.token,)]


def test_a_holder_without_time_for_a_call_sends_nothing_and_gives_the_lane_back_uncharged(world: World) -> None:
    calendar = world.connect("u_ana")
    world.commit("job_1", job("J-1"))
    with world.engine() as engine:
        engine.relay.relay_batch()
        with lane_pusher(world, engine, InterruptedGoogle(world)) as pusher:
            pusher.push(lease_one(engine, call_seconds=1))
        assert world.calls(calendar) == []
        assert world.execute("SELECT attempts FROM calendar_sync.pending_push") == [(0,)]
        assert world.execute("SELECT lease_token FROM calendar_sync.lane") == [(None,)]
        assert not pair(world, calendar).in_doubt
        engine.sync()
    assert world.titles(calendar) == [title("J-1")]


class ImpatientGoogle(GoogleCalendar):
    """Google's client, which gives every call up after a moment."""

    def call(self, call: Call, *, calendar_id: str, access_token: str, deadline: float) -> Answer:
        deadline = min(deadline, time.monotonic() + 0.3)
        return super().call(call, calendar_id=calendar_id, access_token=access_token, deadline=deadline)


def test_a_write_that_reaches_google_after_a_newer_one_is_refused_there(world: World) -> None:
    calendar = place(world)
    world.commit("job_1", job("J-2"))
    world.commit("job_2", {}, "job.cancelled")  # so that the edit is not a lone one, which would be read first
    with world.engine() as engine:
        engine.relay.relay_batch()
        late = ImpatientGoogle(world.stage.settings.google_calendar_url, stop=world.stop, user_agent="late")
        world.fault(kind="delay", method="PUT", calendar=calendar, seconds=4.0, count=1)
        with lane_pusher(world, engine, late) as pusher:
            assert pusher.push(lease_one(engine)) == {"Unchanged": 1, "TryLater": 1}
        world.commit("job_1", job("J-3"))
        engine.sync()
    assert world.titles(calendar) == [title("J-3")]
    eventually(lambda: ("PUT", 412) in world.calls(calendar), BOUND)
    puts = [entry for entry in requests_for(world, calendar) if entry["method"] == "PUT"]
    assert [(entry["status"], entry["body"]["summary"]) for entry in puts] == [
        (200, title("J-3")),
        (412, title("J-2")),
    ]
    assert world.titles(calendar) == [title("J-3")]
