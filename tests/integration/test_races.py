"""Races between relays, settles, connecting users and producers, each in an interleaving made by hand."""

from typing import Any

import psycopg
import pytest

from outbox import enqueue_job_event
from outbox.connections import ChosenCalendar, change_preferences
from outbox.database import open_pool
from outbox.lane import Settlement, Undone
from outbox.lane_store import LaneStore
from outbox.relay import replay_rejected
from outbox.user import User
from tests.integration.conftest import World, job
from tests.integration.interleaving import Paused, Pool, background, relay_batch, waiting
from tests.integration.steps import InterruptedGoogle, grant, lane_pusher, lease_one, pending, read_due
from web.sandbox.specs import AccountSpec


def title(number: str) -> str:
    """The title of the event of a job with this number."""
    return f"{number} · Dallas → Memphis"


def place(world: World) -> str:
    """A connected calendar on which `job_1` stands; returns the calendar's id."""
    calendar = world.connect("u_ana")
    world.commit("job_1", job("J-1"))
    world.sync()
    return calendar


@pytest.mark.parametrize(
    ("payload", "event_type", "titles"),
    [(job("J-2"), "job.updated", [title("J-2")]), ({}, "job.cancelled", [])],
    ids=["change", "cancellation"],
)
def test_what_is_relayed_between_a_pushs_read_and_its_settle_is_pushed_afterwards(
    world: World, payload: dict[str, Any], event_type: str, titles: list[str]
) -> None:
    calendar = world.connect("u_ana")
    world.commit("job_1", job("J-1"))
    with world.engine() as engine:
        engine.relay.relay_batch()

        def change() -> None:
            world.commit("job_1", payload, event_type)
            engine.relay.relay_batch()

        with lane_pusher(world, engine, InterruptedGoogle(world, after=change)) as pusher:
            pusher.push(lease_one(engine))
        assert world.titles(calendar) == [title("J-1")]
        assert pending(world) == ["job_1"]
        engine.sync()
    assert world.titles(calendar) == titles
    assert pending(world) == []


def test_a_push_neither_waits_for_a_mark_that_is_not_committed_nor_takes_it_for_answered(world: World) -> None:
    calendar = place(world)
    world.commit("job_1", job("J-2"))
    with world.engine() as engine:
        engine.relay.relay_batch()
        lease = lease_one(engine)
        world.commit("job_1", job("J-3"))
        relay = Paused(world, "lane/lock_lanes", relay_batch)
        with lane_pusher(world, engine, InterruptedGoogle(world)) as pusher:
            assert pusher.push(lease) == {"Stands": 1}
        assert world.titles(calendar) == [title("J-2")]
        assert relay.result() == 1
        assert pending(world) == ["job_1"]
        assert engine.janitor.mend_due_times() == 0
        engine.sync()
    assert world.titles(calendar) == [title("J-3")]
    assert pending(world) == []


def test_a_settle_that_has_the_lane_and_a_relay_that_has_the_mark_do_not_wait_for_each_other(world: World) -> None:
    calendar = place(world)
    world.commit("job_1", job("J-2"))
    with world.engine() as engine:
        engine.relay.relay_batch()
        lease = lease_one(engine)
        due, _ = read_due(LaneStore(engine.pool), lease, limit=5)
        world.commit("job_1", job("J-3"))
        relay = Paused(world, "lane/lock_lanes", relay_batch)
        settle = Paused(world, "push/settle_done", lambda pool: LaneStore(pool).settle(lease, Settlement(done=due)))
        with background(world, relay.result):
            settle.result()
        assert pending(world) == ["job_1"]
        assert engine.janitor.mend_due_times() == 0
        engine.sync()
    assert world.titles(calendar) == [title("J-3")]


def test_a_settle_at_an_older_generation_leaves_the_row(world: World) -> None:
    world.connect("u_ana")
    world.commit("job_1", job("J-1"))
    with world.engine() as engine:
        engine.relay.relay_batch()
        store, lease = LaneStore(engine.pool), lease_one(engine)
        due, _ = read_due(store, lease, limit=5)
        world.commit("job_1", job("J-2"))
        engine.relay.relay_batch()
        before = world.execute("SELECT * FROM calendar_sync.pending_push")
        store.settle(lease, Settlement(done=due))
        assert world.execute("SELECT * FROM calendar_sync.pending_push") == before
        store.settle(lease_one(engine), Settlement(undone=[Undone(due[0], None, "Parked.", charged=True)]))
        assert world.execute("SELECT * FROM calendar_sync.pending_push") == before


def choosing(world: World) -> tuple[str, Any]:
    """A user who has given his consent, beside one who has a lane already: his calendar, and how he chooses it."""
    world.connect("u_ana")
    email = f"bo-of-{world.tenant}@example.com"
    world.google.add_account(AccountSpec(email=email))
    assert grant(world, "u_bo", email) == "choose_calendar"

    def choose(pool: Pool) -> None:
        change_preferences(pool, User(world.tenant, "u_bo"), calendar=ChosenCalendar(email, "Mine"))

    return email, choose


@pytest.mark.parametrize("at", ["relay/apply_rows", "relay/delete_outbox", "lane/lock_lanes", "lane/schedule_lanes"])
def test_a_calendar_chosen_while_a_relay_is_under_way_gets_the_relays_jobs(world: World, at: str) -> None:
    calendar, choose = choosing(world)
    world.commit("job_1", job("J-1"))
    relay = Paused(world, at, relay_batch)
    with open_pool(world.database_url, size=1) as pool, background(world, lambda: choose(pool)):
        assert relay.result() == 1
    world.sync()
    assert world.titles(calendar) == [title("J-1")]


@pytest.mark.parametrize("at", ["connection/take_calendar", "connection/mark_upcoming", "lane/lock_lanes"])
def test_a_relay_begun_while_a_calendar_is_chosen_marks_its_jobs_there(world: World, at: str) -> None:
    calendar, choose = choosing(world)
    world.commit("job_1", job("J-1"))
    world.commit("job_1", job("J-1"), tenant="another-tenant")
    chosen = Paused(world, at, choose)
    with world.engine() as engine:
        relayed = engine.relay.relay_batch()
        assert (relayed.claimed, relayed.held_back) == (1, True)
        assert world.execute("SELECT tenant_id FROM calendar_sync.job") == [("another-tenant",)]
        chosen.result()
        engine.sync()
    assert world.titles(calendar) == [title("J-1")]


def enqueue(world: World, database: psycopg.Connection[Any], number: str, job_id: str = "job_1") -> None:
    """Insert a row in the producer's transaction, which stays open."""
    enqueue_job_event(database, tenant_id=world.tenant, job_id=job_id, event_type="job.updated", payload=job(number))


def test_of_two_producers_the_one_with_the_newer_id_wins_in_whatever_order_they_commit(world: World) -> None:
    calendar = world.connect("u_ana")
    with (
        world.engine() as engine,
        psycopg.connect(world.database_url) as first,
        psycopg.connect(world.database_url) as second,
    ):
        enqueue(world, first, "J-1")
        enqueue(world, second, "J-2")
        second.commit()
        engine.sync()
        assert world.titles(calendar) == [title("J-2")]
        first.commit()
        engine.sync()
    assert world.titles(calendar) == [title("J-2")]
    assert world.execute("SELECT count(*) FROM calendar_sync.outbox") == [(0,)]


def test_producers_that_lock_their_job_first_get_their_ids_in_the_order_of_their_changes(world: World) -> None:
    calendar = world.connect("u_ana")
    world.execute("CREATE TABLE public.shop_job AS SELECT 'job_1' AS id, 0 AS revision")

    def change(database: psycopg.Connection[Any]) -> int:
        [[revision]] = database.execute("UPDATE public.shop_job SET revision = revision + 1 RETURNING revision")
        return int(revision)

    def change_and_commit() -> None:
        with psycopg.connect(world.database_url) as database:
            enqueue(world, database, f"J-{change(database)}")

    with psycopg.connect(world.database_url) as first:
        revision = change(first)
        with background(world, change_and_commit):
            enqueue(world, first, f"J-{revision}")
            first.commit()
    rows = world.execute("SELECT payload ->> 'job_number' FROM calendar_sync.outbox ORDER BY id")
    assert rows == [("J-1",), ("J-2",)]
    world.sync()
    assert world.titles(calendar) == [title("J-2")]


def test_a_row_is_not_skipped_because_later_ids_became_visible_first(world: World) -> None:
    calendar = world.connect("u_ana")
    with world.engine() as engine, psycopg.connect(world.database_url) as slow:
        enqueue(world, slow, "J-slow", job_id="job_slow")
        for number in range(3):
            world.commit(f"job_{number}", job(f"J-{number}"))
            engine.sync()
        slow.commit()
        engine.sync()
    assert title("J-slow") in world.titles(calendar)
    assert len(world.titles(calendar)) == 4


@pytest.mark.parametrize(("newer", "expected"), [(True, "J-newer"), (False, "J-mended")])
def test_a_replayed_row_counts_only_if_nothing_newer_was_applied(world: World, newer: bool, expected: str) -> None:
    calendar = world.connect("u_ana")
    world.commit("job_1", job("J-older"))
    rejected = world.commit("job_1", job("J-mended", timezone="America/Nowhere"))
    if newer:
        world.commit("job_1", job("J-newer"))
    with world.engine() as engine:
        engine.sync()
        assert world.titles(calendar) == [title("J-newer" if newer else "J-older")]
        world.execute(
            "UPDATE calendar_sync.rejected_event SET payload = jsonb_set(payload, '{timezone}', '\"America/Chicago\"')"
        )
        assert replay_rejected(engine.pool, [rejected]) == 1
        assert world.execute("SELECT id FROM calendar_sync.outbox") == [(rejected,)]
        engine.sync()
    assert world.titles(calendar) == [title(expected)]
    assert world.execute("SELECT count(*) FROM calendar_sync.rejected_event") == [(0,)]


def test_a_relay_that_is_overtaken_on_the_same_job_changes_nothing(world: World) -> None:
    calendar = world.connect("u_ana")
    world.commit("job_1", job("J-1"))
    slow = Paused(world, "relay/apply_rows", relay_batch)
    newest = world.commit("job_1", job("J-2"))
    with world.engine() as engine:
        assert engine.relay.relay_batch().claimed == 1
        assert slow.result() == 1
        assert world.execute("SELECT version FROM calendar_sync.job") == [(newest,)]
        engine.sync()
    assert world.titles(calendar) == [title("J-2")]


def test_a_relay_waits_for_another_one_that_is_writing_the_same_job(world: World) -> None:
    calendar = world.connect("u_ana")
    world.commit("job_1", job("J-1"))
    slow = Paused(world, "relay/delete_outbox", relay_batch)
    newest = world.commit("job_1", job("J-2"))
    with world.engine() as engine:
        with background(world, engine.relay.relay_batch) as relayed:
            assert slow.result() == 1
        assert relayed.result().changed_jobs == 1
        assert world.execute("SELECT version FROM calendar_sync.job") == [(newest,)]
        engine.sync()
    assert world.titles(calendar) == [title("J-2")]


def test_two_relays_take_different_rows(world: World) -> None:
    calendar = world.connect("u_ana")
    for number in range(3):
        world.commit(f"job_{number}", job(f"J-{number}"))
    slow = Paused(world, "relay/apply_rows", relay_batch)
    for number in range(3, 5):
        world.commit(f"job_{number}", job(f"J-{number}"))
    with world.engine() as engine:
        assert engine.relay.relay_batch().claimed == 2
        assert engine.relay.relay_batch().claimed == 0
        assert slow.result() == 3
        engine.sync()
    assert world.titles(calendar) == [title(f"J-{number}") for number in range(5)]
    assert waiting(world) == 0
