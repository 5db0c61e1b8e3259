"""Forgetting a user or a tenant: nothing stays of them, nothing goes of anybody else, and what is said is true."""

from collections import Counter
from collections.abc import Iterator
from contextlib import closing

import psycopg
import pytest

from outbox.grants import Grants, Revocation
from outbox.lane import Intent, LeaseLostError, Settlement, Standing
from outbox.lane_store import LaneStore
from outbox.runtime import oauth_client
from outbox.statements import statement
from outbox.verbs.forgetting import MOST_TRIES, NotForgottenError, Removal, forget
from outbox.verbs.forgotten import EventsLeft, Forgotten, Whose
from tests.integration.conftest import Engine, World, job
from tests.integration.interleaving import Paused, background, relay_batch
from tests.integration.steps import (
    choose,
    cipher_of,
    connection,
    edit,
    grant,
    lease_one,
    pair,
    pending,
    read_due,
    revoke,
    shared_calendar,
)
from web.api.paths import API
from web.demo.consent import give_consent
from web.sandbox.specs import AccountSpec

NAMES_NOBODY = {"schema_migration", "installation", "request_hour", "rate_limit"}
"""Tables that tell of nobody: versions, how many requests there were, hashes that are kept for a day."""

BY_ID_ALONE = {"outage", "token_refresh"}
"""Tables that name nobody but by the number of a connection."""

OF_JOBS = {"job", "outbox", "rejected_event"}
"""Tables that are the tenant's and no user's."""

Rows = dict[str, Counter[str]]
"""By table its rows as text."""


@pytest.fixture
def engine(world: World) -> Iterator[Engine]:
    """A daemon's parts, driven by the test."""
    with world.engine() as parts:
        yield parts


@pytest.fixture
def grants(world: World, engine: Engine) -> Iterator[Grants]:
    """What ends grants."""
    with closing(oauth_client(world.stage.settings, engine.stop)) as oauth:
        yield Grants(engine.pool, cipher_of(world), oauth)


def stored(world: World) -> Rows:
    """Every row of every table of the schema; what is binary is spelt in hex."""
    tables = world.execute(
        "SELECT relname FROM pg_class WHERE relnamespace = 'calendar_sync'::regnamespace AND relkind IN ('r', 'p')"
    )
    return {
        table: Counter(row for (row,) in world.execute(f"SELECT kept::text FROM calendar_sync.{table} AS kept"))
        for (table,) in tables
    }


def naming(rows: Rows, name: str) -> set[str]:
    """The tables in which a name stands, in whatever column."""
    return {table for table, found in rows.items() if any(name in row or name.encode().hex() in row for row in found)}


def forget_with_events(engine: Engine, grants: Grants, tenant: str, user: str | None = None) -> Forgotten:
    """As the verb with --remove-events."""
    removal = Removal(engine.pool, grants, Whose(tenant, user))
    engine.sync()
    assert (removal.left(), removal.waiting()) == (0, 0)
    return forget(engine.pool, grants, tenant, user, removal=removal)


def plant(world: World, engine: Engine) -> set[str]:
    """A user of whom something is in every table; returns the names by which."""
    former = f"former-{world.tenant}@example.com"
    world.google.add_account(AccountSpec(email=former))
    grant(world, "u_ana", former)
    choose(world, "u_ana", former)
    own = world.connect("u_ana")  # another account, so that the grant of the former one is given up
    world.commit("job_1", job("J-1"))
    world.commit("job_2", job("J-2") | {"timezone": "Mars/Olympus"})
    engine.relay.relay_batch()
    engine.pusher.drain()
    world.caller("u_ana").ask("POST", f"{API}/connect")
    world.caller("u_ana").ask("POST", f"{API}/test-push")
    engine.relay.relay_batch()
    world.execute(
        "WITH ana AS (UPDATE calendar_sync.calendar_connection SET state = 'calendar_lost' RETURNING *), retired AS ("
        " INSERT INTO calendar_sync.retired_event (tenant_id, calendar_id, job_id, event_id)"
        " SELECT tenant_id, calendar_id, 'j', 'e' FROM ana), feed AS ("
        " INSERT INTO calendar_sync.calendar_feed (tenant_id, user_id, token_hash, job_filter)"
        " SELECT tenant_id, user_id, sha256('token'), 'all' FROM ana)"
        " INSERT INTO calendar_sync.departure (tenant_id, calendar_id, connection_id)"
        " SELECT tenant_id, calendar_id, connection_id FROM ana"
    )
    world.commit("job_3", job("J-3"))
    return {"u_ana", own, former}


@pytest.mark.parametrize("user", ["u_ana", None], ids=["user", "tenant"])
def test_nothing_stays_of_whoever_is_forgotten_in_any_column_of_any_table(
    world: World, engine: Engine, grants: Grants, user: str | None
) -> None:
    names = plant(world, engine) | (set() if user else {world.tenant})
    before = stored(world)
    # A table that is made later has to be planted, or to be among those that tell of nobody.
    expected = before.keys() - NAMES_NOBODY - BY_ID_ALONE - (OF_JOBS if user else set())
    assert set.union(*(naming(before, name) for name in names)) == expected
    assert all(naming(before, name) for name in names)
    assert all(before[table] for table in BY_ID_ALONE)
    said = forget(engine.pool, grants, world.tenant, user)
    after = stored(world)
    assert [(name, tables) for name in names if (tables := naming(after, name))] == []
    assert not any(after[table] for table in BY_ID_ALONE)
    assert said.grants == {"revoked": 2}
    assert forget(engine.pool, grants, world.tenant, user) == Forgotten(0, (), {}, {}, 0)


def test_nobody_else_loses_a_row_and_a_shared_calendar_goes_on(world: World, engine: Engine, grants: Grants) -> None:
    shared, reader = shared_calendar(world)
    world.connect("u_ana", calendar=shared)
    world.connect("u_bo", calendar=shared)
    world.connect("u_ana", tenant="other")
    for tenant in (world.tenant, "other"):
        world.commit("job_1", job("J-1"), tenant=tenant)
    engine.sync()
    [of_ana] = connection(world, "u_ana", "connection_id")
    assert [row for row in stored(world)["pushed_event"] if f",{of_ana}," in row]
    world.caller("u_ana").ask("POST", f"{API}/disconnect", {"remove_events": False})
    engine.sync()
    before = stored(world)

    said = forget(engine.pool, grants, world.tenant, "u_ana")

    after = stored(world)
    gone = {table: rows - after[table] for table, rows in before.items()}
    come = {table: rows - before[table] for table, rows in after.items()}
    assert {table: rows.total() - come[table].total() for table, rows in gone.items()} == {
        table: said.rows.get(table, 0) for table in before
    }
    for table, rows in gone.items():
        assert all(world.tenant in row or table == "quota" for row in rows), table
        assert all("u_ana" in row or f",{of_ana}" in row or table == "quota" for row in rows), table
    # What stays of an event on the shared calendar is without what was seen through the connection that is gone.
    assert come.keys() - {table for table, rows in come.items() if not rows} == {"pushed_event"}
    assert (said.grants, said.events_left) == ({}, (EventsLeft(shared, 1, "shared"),))
    world.commit("job_1", job("J-2"))
    engine.sync()
    assert world.titles(shared, reader) == ["J-2 · Dallas → Memphis"]
    assert pending(world) == []


def test_the_events_go_first_where_they_can_and_what_stays_is_told_with_its_reason(
    world: World, engine: Engine, grants: Grants
) -> None:
    ana, bo, cy, di = (world.connect(name) for name in ("u_ana", "u_bo", "u_cy", "u_di"))
    # Whoever else lives on a Google account keeps it.
    other = world.caller("u_ana", tenant="other")
    give_consent(other, ana)
    other.ask("PATCH", API, {"calendar_id": ana})
    for tenant in (world.tenant, "other"):
        for number in (1, 2):
            world.commit(f"job_{number}", job(f"J-{number}"), tenant=tenant)
    engine.sync()
    revoke(world, "u_bo")
    world.google.control("POST", f"calendars/{cy}/role", {"account": cy, "role": "reader"})
    world.caller("u_di").ask("POST", f"{API}/disconnect", {"remove_events": False})
    said = forget_with_events(engine, grants, world.tenant)
    assert said.events_removed == 2
    assert set(said.events_left) == {
        EventsLeft(bo, 2, "no_access"),
        EventsLeft(cy, 2, "lost"),
        EventsLeft(di, 2, "earlier"),
    }
    assert said.grants == {"dead": 1, "revoked": 1, "shared": 1}
    assert said.rows["calendar_connection"] == 4
    assert [len(world.titles(calendar)) for calendar in (ana, bo, cy, di)] == [2, 2, 2, 2]
    # What stands in the first one is the other tenant's, whose connection works.
    world.commit("job_1", job("J-1b"), tenant="other")
    engine.sync()
    assert world.titles(ana) == ["J-1b · Dallas → Memphis", "J-2 · Dallas → Memphis"]


def test_what_google_refuses_to_remove_stays_and_stops_nothing(world: World, engine: Engine, grants: Grants) -> None:
    calendar = world.connect("u_ana")
    for number in (1, 2):
        world.commit(f"job_{number}", job(f"J-{number}"))
    engine.sync()
    event = pair(world, calendar, "job_1").event_id
    world.fault(kind="refuse", method="DELETE", path=f"/events/{event}", status=400, reason="invalid")
    said = forget_with_events(engine, grants, world.tenant, "u_ana")
    assert (said.events_removed, said.events_left) == (1, (EventsLeft(calendar, 1, "not_removed"),))
    assert said.grants == {"revoked": 1}


def test_an_event_whose_mark_somebody_took_off_is_left_alone(world: World, engine: Engine, grants: Grants) -> None:
    calendar = world.connect("u_ana")
    for number in (1, 2):
        world.commit(f"job_{number}", job(f"J-{number}"))
    engine.sync()
    edit(world, calendar, pair(world, calendar, "job_1").event_id, extendedProperties={"private": {"calendarSync": ""}})
    edit(world, calendar, pair(world, calendar, "job_2").event_id, colorId="5")
    forget_with_events(engine, grants, world.tenant, "u_ana")
    assert world.titles(calendar) == ["J-1 · Dallas → Memphis"]


def test_whoever_connects_again_during_the_removal_is_emptied_again_and_nothing_is_erased_before(
    world: World, engine: Engine, grants: Grants
) -> None:
    calendar = world.connect("u_ana")
    world.commit("job_1", job("J-1"))
    engine.sync()
    removal = Removal(engine.pool, grants, Whose(world.tenant, "u_ana"))
    grant(world, "u_ana", calendar)
    world.commit("job_2", job("J-2"))
    engine.sync()
    assert (removal.left(), len(world.titles(calendar))) == (1, 2)
    with pytest.raises(NotForgottenError, match="connected again"):
        forget(engine.pool, grants, world.tenant, "u_ana", removal=removal)
    assert removal.go_on() == 1
    engine.sync()
    assert (removal.go_on(), world.titles(calendar)) == (0, [])
    said = forget(engine.pool, grants, world.tenant, "u_ana", removal=removal)
    assert (said.events_removed, said.events_left, said.grants) == (2, (), {"revoked": 1})


def test_a_removal_waits_for_no_test_and_for_nothing_that_colleagues_change(
    world: World, engine: Engine, grants: Grants
) -> None:
    shared, _ = shared_calendar(world)
    world.connect("u_ana", calendar=shared)
    world.connect("u_bo", calendar=shared)
    for number in (1, 2):
        world.commit(f"job_{number}", job(f"J-{number}"))
    engine.sync()
    world.caller("u_ana").ask("POST", f"{API}/test-push")
    engine.relay.relay_batch()
    removal = Removal(engine.pool, grants, Whose(world.tenant, "u_ana"))
    world.advance(1)
    world.commit("job_3", job("J-3"))
    engine.relay.relay_batch()
    assert len(pending(world)) == 4
    assert (removal.left(), removal.waiting()) == (1, 2)


def test_a_tenants_jobs_that_are_written_again_are_told(world: World, engine: Engine, grants: Grants) -> None:
    world.commit("job_1", job("J-1"))
    assert forget(engine.pool, grants, world.tenant) == Forgotten(0, (), {}, {"outbox": 1}, 0)
    verb = Paused(world, "forget/count_jobs", lambda pool: forget(pool, grants, world.tenant))
    world.commit("job_1", job("J-1"))
    assert verb.result().job_rows_since == 1


def test_nothing_is_erased_by_the_daemons_role_while_a_grant_has_not_ended(world: World, engine: Engine) -> None:
    world.connect("u_ana")
    before = stored(world)
    for name in ("forget/erase_user", "forget/erase_tenant"):
        with engine.pool.connection() as daemon:
            with pytest.raises(psycopg.errors.ObjectInUse):
                daemon.execute(statement(name), {"tenant_id": world.tenant, "user_id": "u_ana"})
            # Nobody is not everybody.
            nobody = {"tenant_id": None if name == "forget/erase_tenant" else world.tenant, "user_id": None}
            assert daemon.execute(statement(name), nobody).fetchall() == []
            with pytest.raises(psycopg.errors.InsufficientPrivilege):
                daemon.execute("SELECT calendar_sync.erase(%s, NULL)", [world.tenant])
    assert stored(world) == before


def test_a_push_under_way_brings_nothing_back(world: World, engine: Engine, grants: Grants) -> None:
    calendar = world.connect("u_ana")
    world.commit("job_1", job("J-1"))
    engine.relay.relay_batch()
    store, lease = LaneStore(engine.pool), lease_one(engine)
    [due], _ = read_due(store, lease, limit=1)
    store.begin(lease, [Intent(due, "e1", 1, present=True)])
    assert forget(engine.pool, grants, world.tenant).rows["pushed_event"] == 1
    for late in (
        lambda: store.begin(lease, [Intent(due, "e1", 1, present=True)]),
        lambda: store.settle(lease, Settlement(standing=[Standing("job_1", b"h", {"etag": "1"}, 1)], done=[due])),
        lambda: store.take_next_id(lease, "job_1", retired="e1", seen_cancelled=False, event_id="e2", id_generation=2),
    ):
        with pytest.raises(LeaseLostError):
            late()
    # The audit may have read the calendar before.
    world.execute(
        statement("janitor/mark_differences").as_string()
        % {"tenant_id": f"'{world.tenant}'", "calendar_id": f"'{calendar}'", "job_ids": "'{job_1}'"}
    )
    assert naming(stored(world), calendar) == set()


def test_a_push_under_way_on_a_shared_calendar_brings_nothing_of_whoever_is_forgotten_back(
    world: World, engine: Engine, grants: Grants
) -> None:
    shared, _ = shared_calendar(world)
    world.connect("u_ana", calendar=shared)
    world.connect("u_bo", calendar=shared)
    [ana] = connection(world, "u_ana", "connection_id")
    world.commit("job_1", job("J-1"))
    engine.relay.relay_batch()
    store, lease = LaneStore(engine.pool), lease_one(engine)
    [due], _ = read_due(store, lease, limit=1)
    store.begin(lease, [Intent(due, "e1", 1, present=True)])
    forget(engine.pool, grants, world.tenant, "u_ana")
    seen = {"etag": "1", "reminders": {"useDefault": False}}
    store.settle(lease, Settlement(standing=[Standing("job_1", b"h", seen, ana)], done=[due]))
    settled = "SELECT etag, users_fields, seen_by FROM calendar_sync.pushed_event"
    assert world.execute(settled) == [("1", None, None)]


def test_a_calendar_in_use_stays_although_nobody_is_on_record_to_have_chosen_it(
    world: World, engine: Engine, grants: Grants
) -> None:
    world.connect("u_ana")
    calendar = world.connect("u_bo")
    world.commit("job_1", job("J-1"))
    engine.sync()
    world.execute("DELETE FROM calendar_sync.chosen_calendar")
    forget(engine.pool, grants, world.tenant, "u_ana")
    assert {"lane", "pushed_event"} <= naming(stored(world), calendar)
    world.commit("job_1", job("J-2"))
    engine.sync()
    assert world.titles(calendar) == ["J-2 · Dallas → Memphis"]


def test_what_was_marked_after_the_erasure_goes_when_it_is_repeated(
    world: World, engine: Engine, grants: Grants
) -> None:
    calendar = world.connect("u_ana")
    forget(engine.pool, grants, world.tenant, "u_ana")
    world.execute(
        "INSERT INTO calendar_sync.pending_push (tenant_id, calendar_id, job_id, due_at, first_marked_at)"
        " VALUES (%s, %s, 'job_1', calendar_sync.now(), calendar_sync.now())",
        world.tenant,
        calendar,
    )
    assert forget(engine.pool, grants, world.tenant, "u_ana").rows == {"pending_push": 1}


def test_a_push_that_is_just_settled_is_waited_for(world: World, engine: Engine, grants: Grants) -> None:
    calendar = world.connect("u_ana")
    world.commit("job_1", job("J-1"))
    engine.relay.relay_batch()
    lease = lease_one(engine)
    [due], _ = read_due(LaneStore(engine.pool), lease, limit=1)
    settling = Paused(
        world, "push/store_intents", lambda pool: LaneStore(pool).begin(lease, [Intent(due, "e1", 1, True)])
    )
    with background(world, lambda: forget(engine.pool, grants, world.tenant)):
        settling.result()
    assert naming(stored(world), calendar) == set()


def test_a_batch_of_the_relay_is_waited_for_and_erased_with_the_rest(
    world: World, engine: Engine, grants: Grants
) -> None:
    world.commit("job_1", job("J-1"))
    batch = Paused(world, "relay/apply_rows", relay_batch)
    with background(world, lambda: forget(engine.pool, grants, world.tenant)):
        assert batch.result() == 1
    assert naming(stored(world), world.tenant) == set()


def test_whoever_connects_before_the_erasure_is_forgotten_too(world: World, engine: Engine, grants: Grants) -> None:
    first = world.connect("u_ana")
    verb = Paused(world, "forget/read_abandoned", lambda pool: forget(pool, grants, world.tenant, "u_ana"))
    second = world.connect("u_ana")
    assert verb.result().grants == {"revoked": 1}
    assert [naming(stored(world), name) for name in ("u_ana", first, second)] == [set()] * 3


def test_whoever_connects_during_the_erasure_comes_after_it(world: World, engine: Engine, grants: Grants) -> None:
    first = world.connect("u_ana")
    verb = Paused(world, "forget/take_time", lambda pool: forget(pool, grants, world.tenant, "u_ana"))
    with background(world, lambda: world.connect("u_ana")) as connecting:
        assert verb.result().rows["calendar_connection"] == 1
    second = connecting.result()
    world.commit("job_1", job("J-1"))
    engine.sync()
    assert world.titles(second) == ["J-1 · Dallas → Memphis"]
    assert naming(stored(world), first) == set()


def test_nothing_is_erased_once_it_is_told_to_stop_or_while_grants_will_not_end(
    world: World, engine: Engine, grants: Grants, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.connect("u_ana")
    before = stored(world)
    engine.stop.set()
    with pytest.raises(NotForgottenError, match="stopped"):
        forget(engine.pool, grants, world.tenant, "u_ana", stop=engine.stop)
    removal = Removal(engine.pool, grants, Whose(world.tenant, "u_bo"))
    with pytest.raises(NotForgottenError, match="stopped"):  # also if there is no grant left to end
        forget(engine.pool, grants, world.tenant, "u_bo", removal=removal, stop=engine.stop)
    tries = iter([Revocation.NOTHING] * MOST_TRIES)
    monkeypatch.setattr(grants, "end", lambda _: next(tries))
    with pytest.raises(NotForgottenError, match="again and again"):
        forget(engine.pool, grants, world.tenant, "u_ana")
    assert list(tries) == []
    assert stored(world) == before


def test_a_grant_that_was_given_up_is_forgotten_also_if_google_does_not_answer(
    world: World, engine: Engine, grants: Grants
) -> None:
    former = world.connect("u_ana")
    world.connect("u_ana")
    world.fault(kind="refuse", method="POST", path="/revoke", status=503)
    engine.stop.set()  # so that Google is asked once
    assert forget(engine.pool, grants, world.tenant, "u_ana").grants == {"unanswered": 2}
    assert naming(stored(world), former) == set()


def test_a_grant_that_several_of_the_forgotten_had_is_not_told_as_kept(
    world: World, engine: Engine, grants: Grants
) -> None:
    account = world.connect("u_ana")
    grant(world, "u_bo", account)
    assert forget(engine.pool, grants, world.tenant).grants == {"revoked": 2}
