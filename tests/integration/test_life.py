"""The whole life of a calendar, told as its users live it; each story ends with the exact content of every calendar."""

from collections.abc import Iterator
from contextlib import closing

import pytest

from outbox.grants import Grants
from outbox.runtime import oauth_client
from outbox.verbs.forgetting import Removal, forget
from outbox.verbs.forgotten import EventsLeft, Whose
from tests.integration.conftest import Engine, World
from tests.integration.office import Office, haul, on, private
from tests.integration.steps import cipher_of, connection, pending, reconnect, requests_for, revoke
from web.api.paths import API

TABLES_OF_TENANTS = """
SELECT table_name FROM information_schema.columns JOIN information_schema.tables USING (table_schema, table_name)
WHERE table_schema = 'calendar_sync' AND table_type = 'BASE TABLE' AND column_name = 'tenant_id'
"""


@pytest.fixture
def office(world: World) -> Office:
    """An office whose users have accounts as each story says."""
    return Office(world)


@pytest.fixture
def engine(world: World) -> Iterator[Engine]:
    """A daemon's parts, driven by the story."""
    with world.engine() as parts:
        yield parts


@pytest.fixture
def grants(world: World, engine: Engine) -> Iterator[Grants]:
    """What ends grants."""
    with closing(oauth_client(world.stage.settings, engine.stop)) as oauth:
        yield Grants(engine.pool, cipher_of(world), oauth)


def rows(world: World, *tables: str) -> dict[str, int]:
    """How many rows of the tenant the tables have."""
    return {
        table: world.execute(f"SELECT count(*) FROM calendar_sync.{table} WHERE tenant_id = %s", world.tenant)[0][0]
        for table in tables
    }


def test_connecting_fills_the_calendar_and_a_live_edit_overtakes_the_backfill(office: Office, engine: Engine) -> None:
    office.account("ana")
    office.note("ana", "ana", "Dentist", 2)
    for number in (1, 2, 3, 4, 5):
        office.commit(number, day=number)
    office.commit(6, day=6, legs=[])
    office.commit(7, day=7, legs=[{"dispatch_window": {"start": "2026-03-02", "end": None}, "delivery_window": None}])
    office.cancel(5)
    engine.sync()
    office.connect("ana")
    assert office.sees("ana", "state", "pending") == ("active", 4)
    office.commit(4, day=9)
    engine.sync()
    posts = [entry for entry in requests_for(office.world, office.id("ana")) if entry["method"] == "POST"]
    titles = [entry["body"]["summary"] for entry in posts if "/events" in entry["path"]]
    assert (titles[0], sorted(titles)) == ("J-4", ["J-1", "J-2", "J-3", "J-4"])
    assert office.sees("ana", "state", "pending") == ("active", 0)
    assert office.agenda() == {
        "ana": {"Dentist": private(2), "J-1": on(1), "J-2": on(2), "J-3": on(3), "J-4": on(9)},
    }


def test_another_calendar_is_filled_then_the_former_one_emptied_whoever_dies_and_whatever_changes_meanwhile(
    office: Office, engine: Engine
) -> None:
    office.account("ana", "work")
    office.note("ana", "ana", "Dentist", 2)
    office.note("ana", "work", "Review", 3)
    for number in (1, 2, 3):
        office.commit(number, day=number)
    office.connect("ana")
    engine.sync()
    before = {"ana": {"Dentist": private(2), "J-1": on(1), "J-2": on(2), "J-3": on(3)}, "work": {"Review": private(3)}}
    assert office.agenda() == before
    office.choose("ana", "work")
    assert office.sees("ana", "calendar_name", "pending") == ("work", 3)
    [[left]] = office.sees("ana", "leaving")
    assert (left["name"], left["events"]) == (office.id("ana"), 3)
    office.kill_daemon_after_first_write(engine)
    assert office.agenda() == {**before, "work": {"Review": private(3), "J-1": on(1)}}
    office.commit(1, day=8)
    office.cancel(2)
    office.commit(4, day=4)
    office.wake_next_daemon(engine)
    assert office.sees("ana", "leaving", "pending") == ([], 0)
    assert office.agenda() == {
        "ana": {"Dentist": private(2)},
        "work": {"Review": private(3), "J-1": on(8), "J-3": on(3), "J-4": on(4)},
    }


def test_a_filter_and_a_new_assignment_move_events_between_people_at_once(office: Office, engine: Engine) -> None:
    for name in ("ana", "bo"):
        office.account(name)
        office.note(name, name, "Dentist", 2)
        office.connect(name)
    office.commit(1, day=1, assigned_user_ids=["ana"])
    office.commit(2, day=2, assigned_user_ids=["bo"])
    office.commit(3, day=3)
    engine.sync()
    everything = {"Dentist": private(2), "J-1": on(1), "J-2": on(2), "J-3": on(3)}
    assert office.agenda() == {"ana": everything, "bo": everything}
    for name in ("ana", "bo"):
        office.want(name, "assigned")
    engine.sync()
    assert office.agenda() == {
        "ana": {"Dentist": private(2), "J-1": on(1)},
        "bo": {"Dentist": private(2), "J-2": on(2)},
    }
    office.commit(1, day=1, assigned_user_ids=["bo"])
    office.commit(2, day=2, assigned_user_ids=["ana", "bo"])
    office.commit(3, day=3, assigned_user_ids=["ana"])
    engine.sync()
    assert office.agenda() == {
        "ana": {"Dentist": private(2), "J-2": on(2), "J-3": on(3)},
        "bo": {"Dentist": private(2), "J-1": on(1), "J-2": on(2)},
    }
    office.want("ana", "all")
    engine.sync()
    assert office.agenda() == {"ana": everything, "bo": {"Dentist": private(2), "J-1": on(1), "J-2": on(2)}}


def test_a_dispatch_calendar_that_two_share_shows_each_job_once_and_as_long_as_one_of_them_wants_it(
    office: Office, engine: Engine
) -> None:
    office.account("ana", "board")
    office.account("bo", "board")
    office.note("ana", "board", "Meeting", 1)
    office.connect("ana", "board")
    office.connect("bo", "board")
    picker = office.world.caller("bo").ask("GET", f"{API}/calendars")["calendars"]
    assert {entry["name"]: entry["colleagues"] for entry in picker} == {office.id("bo"): False, "board": True}
    office.want("bo", "assigned")
    office.commit(1, day=1)
    office.commit(2, day=2, assigned_user_ids=["bo"])
    engine.sync()
    assert office.agenda() == {
        "ana": {},
        "bo": {},
        "board": {"Meeting": private(1), "J-1": on(1), "J-2": on(2)},
    }
    revoke(office.world, "ana")
    office.commit(1, day=8)
    engine.sync()
    assert (office.sees("ana", "state"), office.sees("bo", "state")) == (("needs_reconnect",), ("active",))
    assert office.agenda() == {
        "ana": {},
        "bo": {},
        "board": {"Meeting": private(1), "J-1": on(8), "J-2": on(2)},
    }
    assert reconnect(office.world, "ana") == "active"
    office.choose("ana", "ana")
    office.commit(2, day=9, assigned_user_ids=["bo"])
    engine.sync()
    assert office.agenda() == {
        "ana": {"J-1": on(8), "J-2": on(9)},
        "bo": {},
        "board": {"Meeting": private(1), "J-2": on(9)},
    }


def test_whoever_disconnects_may_keep_the_events_and_finds_them_brought_up_to_date_on_coming_back(
    office: Office, engine: Engine
) -> None:
    office.account("ana")
    office.note("ana", "ana", "Dentist", 2)
    office.connect("ana")
    for number in (1, 2, 3):
        office.commit(number, day=number)
    engine.sync()
    assert office.disconnect("ana", remove_events=False)["revocation"] == "revoked"
    office.commit(1, day=8)
    office.cancel(2)
    engine.sync()
    assert office.sees("ana", "state", "last_disconnect") == (
        "not_connected",
        {"revocation": "revoked", "events_left": 3},
    )
    assert office.agenda() == {"ana": {"Dentist": private(2), "J-1": on(1), "J-2": on(2), "J-3": on(3)}}
    office.connect("ana")
    engine.sync()
    assert office.agenda() == {"ana": {"Dentist": private(2), "J-1": on(8), "J-3": on(3)}}


def test_a_disconnect_with_removal_takes_what_we_put_there_and_nothing_that_only_looks_like_it(
    office: Office, engine: Engine
) -> None:
    office.account("ana", "board")
    office.account("bo", "board")
    office.note("ana", "ana", "Dentist", 2)
    office.connect("ana", "ana")
    office.connect("bo", "board")
    office.want("bo", "assigned")
    office.commit(1, day=1)
    office.commit(2, day=2, assigned_user_ids=["bo"])
    engine.sync()
    office.choose("ana", "board")
    engine.sync()
    ours = office.event("ana", "board", "J-1")
    office.note("ana", "board", "Copy of J-1", 1, extendedProperties=ours["extendedProperties"])
    office.commit(3, day=3)
    engine.sync()
    answer = office.disconnect("ana", remove_events=True)
    assert (answer["state"], answer["revocation"]) == ("disconnecting", "pending")
    office.kill_daemon_after_first_write(engine)
    assert office.sees("ana", "state") == ("disconnecting",)
    office.commit(2, day=9, assigned_user_ids=["bo"])
    office.wake_next_daemon(engine)
    assert office.sees("ana", "state", "last_disconnect") == (
        "not_connected",
        {"revocation": "revoked", "events_left": 0},
    )
    assert connection(office.world, "ana", "refresh_token", "access_token") == (None, None)
    assert requests_for(office.world, office.id("ana"))[-1]["path"] == "/revoke"
    assert office.agenda() == {
        "ana": {"Dentist": private(2)},
        "bo": {},
        "board": {"Copy of J-1": private(1), "J-2": on(9)},
    }


def test_a_disconnect_with_a_dead_grant_says_how_many_events_remain_for_the_user_to_remove(
    office: Office, engine: Engine
) -> None:
    office.account("ana")
    office.note("ana", "ana", "Dentist", 2)
    office.connect("ana")
    for number in (1, 2):
        office.commit(number, day=number)
    engine.sync()
    revoke(office.world, "ana")
    assert office.disconnect("ana", remove_events=True)["state"] == "disconnecting"
    engine.sync()
    assert office.sees("ana", "state", "last_disconnect") == (
        "not_connected",
        {"revocation": "dead", "events_left": 2},
    )
    assert office.agenda() == {"ana": {"Dentist": private(2), "J-1": on(1), "J-2": on(2)}}
    office.delete("ana", "ana", "J-1")
    office.connect("ana")
    engine.sync()
    assert office.disconnect("ana", remove_events=True)["state"] == "disconnecting"
    engine.sync()
    assert office.sees("ana", "last_disconnect") == ({"revocation": "revoked", "events_left": 0},)
    assert office.agenda() == {"ana": {"Dentist": private(2)}}


def test_connecting_while_disconnecting_cancels_what_is_left_of_the_removal_and_the_revoke(
    office: Office, engine: Engine
) -> None:
    office.account("ana")
    office.note("ana", "ana", "Dentist", 2)
    office.connect("ana")
    for number in (1, 2, 3):
        office.commit(number, day=number)
    engine.sync()
    office.disconnect("ana", remove_events=True)
    office.kill_daemon_after_first_write(engine)
    assert office.agenda() == {"ana": {"Dentist": private(2), "J-2": on(2), "J-3": on(3)}}
    office.commit(3, day=9)
    assert reconnect(office.world, "ana") == "active"
    office.wake_next_daemon(engine)
    assert office.sees("ana", "state") == ("active",)
    assert "/revoke" not in {entry["path"] for entry in requests_for(office.world, office.id("ana"))}
    assert office.agenda() == {"ana": {"Dentist": private(2), "J-1": on(1), "J-2": on(2), "J-3": on(9)}}


def test_what_the_user_changes_or_deletes_is_put_right_by_the_jobs_next_change_or_a_resync_and_what_is_his_stays(
    office: Office, engine: Engine
) -> None:
    office.account("ana")
    office.note("ana", "ana", "Dentist", 2)
    office.connect("ana")
    for number in (1, 2, 3, 4):
        office.commit(number, day=number)
    engine.sync()
    guests, reminders = [{"email": "guest@example.com"}], [{"method": "popup", "minutes": 15}]
    mine = {
        "attendees": guests,
        "colorId": "5",
        "reminders": {"useDefault": False, "overrides": reminders},
        "transparency": "opaque",
        "visibility": "private",
    }
    at_noon = {"start": {"dateTime": "2027-03-20T12:00:00-06:00"}, "end": {"dateTime": "2027-03-20T13:00:00-06:00"}}
    for number in (1, 3):
        office.edit("ana", "ana", f"J-{number}", summary=f"Mine {number}", location="Home", **at_noon, **mine)
    for number in (2, 4):
        office.delete("ana", "ana", f"J-{number}")
    engine.sync()
    assert set(office.agenda()["ana"]) == {"Dentist", "Mine 1", "Mine 3"}
    office.commit(1, day=8)
    engine.sync()
    office.commit(2, day=9)
    engine.sync()
    kept = {"attendees": guests, "colorId": "5", "reminders": reminders, "busy": True, "visibility": "private"}
    elsewhere = office.agenda()["ana"]["Mine 3"]
    assert office.agenda() == {"ana": {"Dentist": private(2), "J-1": on(8, **kept), "Mine 3": elsewhere, "J-2": on(9)}}
    assert office.world.caller("ana").ask("POST", f"{API}/resync") == {"marked": 4}
    engine.sync()
    assert office.agenda() == {
        "ana": {"Dentist": private(2), "J-1": on(8, **kept), "J-2": on(9), "J-3": on(3, **kept), "J-4": on(4)},
    }


def test_whoever_loses_the_calendar_picks_another_and_everything_pending_follows(
    office: Office, engine: Engine
) -> None:
    office.account("ana", "work")
    office.note("ana", "ana", "Dentist", 2)
    office.connect("ana", "work")
    for number in (1, 2):
        office.commit(number, day=number)
    engine.sync()
    assert office.agenda() == {"ana": {"Dentist": private(2)}, "work": {"J-1": on(1), "J-2": on(2)}}
    office.delete_calendar("work")
    office.commit(1, day=8)
    engine.sync()
    office.cancel(2)
    office.commit(3, day=3)
    engine.sync()
    assert office.sees("ana", "state", "pending") == ("calendar_lost", 3)
    assert office.agenda() == {"ana": {"Dentist": private(2)}}
    office.choose("ana", "ana")
    engine.sync()
    assert office.sees("ana", "state", "leaving", "pending") == ("active", [], 0)
    assert office.agenda() == {"ana": {"Dentist": private(2), "J-1": on(8), "J-3": on(3)}}


def test_a_calendar_that_may_only_be_read_is_lost_and_keeps_what_stands_there(office: Office, engine: Engine) -> None:
    office.account("keeper", "board")
    office.account("ana", "board")
    office.note("keeper", "board", "Meeting", 2)
    office.connect("ana", "board")
    for number in (1, 2):
        office.commit(number, day=number)
    engine.sync()
    office.share("board", "ana", "reader")
    office.commit(1, day=8)
    engine.sync()
    assert office.sees("ana", "state", "pending") == ("calendar_lost", 1)
    office.choose("ana", "ana")
    engine.sync()
    left = {"Meeting": private(2), "J-1": on(1), "J-2": on(2)}
    assert office.agenda() == {"keeper": {}, "ana": {"J-1": on(8), "J-2": on(2)}, "board": left}
    office.share("board", "ana", "writer")
    office.choose("ana", "board")
    engine.sync()
    assert office.agenda() == {"keeper": {}, "ana": {}, "board": {**left, "J-1": on(8)}}


def test_jobs_long_past_leave_the_tables_and_stay_in_the_calendar(office: Office, engine: Engine) -> None:
    office.account("ana")
    office.note("ana", "ana", "Dentist", 2)
    office.connect("ana")
    office.commit(1, day=1)
    office.commit(2, day=2)
    office.commit(3, day=3, legs=[{"dispatch_window": {"start": "2027-09-01", "end": None}, "delivery_window": None}])
    office.cancel(3)
    engine.sync()
    office.world.advance(160 * 86400)
    office.commit(2, day=2, manifest={"notes": "Late paper"})
    engine.sync()
    assert engine.janitor.delete_old_jobs() == 1
    office.world.advance(91 * 86400)
    assert engine.janitor.delete_old_jobs() == 2
    assert rows(office.world, "job", "pushed_event", "pending_push") == {"job": 0, "pushed_event": 0, "pending_push": 0}
    engine.sync()
    stays = {"ana": {"Dentist": private(2), "J-1": on(1), "J-2": on(2)}}
    assert office.agenda() == stays
    office.want("ana", "assigned")
    engine.sync()
    assert (pending(office.world), office.agenda()) == ([], stays)
    office.want("ana", "all")
    office.commit(1, day=8)
    engine.sync()
    assert office.agenda() == {"ana": {**stays["ana"], "J-1": on(8)}}


def test_whoever_is_forgotten_leaves_no_event_of_ours_but_what_colleagues_want_and_may_come_back(
    office: Office, engine: Engine, grants: Grants
) -> None:
    world = office.world
    office.account("ana", "board")
    office.account("bo", "board")
    office.note("ana", "ana", "Dentist", 2)
    office.note("bo", "board", "Meeting", 3)
    office.connect("ana", "ana")
    office.connect("bo", "board")
    office.want("bo", "assigned")
    office.commit(1, day=1)
    office.commit(2, day=2, assigned_user_ids=["bo"])
    engine.sync()
    office.choose("ana", "board")
    removal = Removal(engine.pool, grants, Whose(world.tenant, "ana"))
    office.commit(3, day=3)
    engine.sync()
    assert removal.left() == 0
    forgotten = forget(engine.pool, grants, world.tenant, "ana", removal=removal)
    assert forgotten.grants == {"revoked": 1}
    assert [(left.calendar_id, left.events, left.why) for left in forgotten.events_left] == [
        (office.id("board"), 1, "shared")
    ]
    office.commit(2, day=9, assigned_user_ids=["bo"])
    engine.sync()
    assert office.sees("ana", "state") == ("not_connected",)
    board = {"Meeting": private(3), "J-2": on(9)}
    assert office.agenda() == {"ana": {"Dentist": private(2)}, "bo": {}, "board": board}
    office.connect("ana")
    engine.sync()
    everything = {"Dentist": private(2), "J-1": on(1), "J-2": on(9), "J-3": on(3)}
    assert office.agenda() == {"ana": everything, "bo": {}, "board": board}


def test_a_tenant_that_is_forgotten_may_leave_its_events_where_they_are(
    office: Office, engine: Engine, grants: Grants
) -> None:
    world = office.world
    for name in ("ana", "bo"):
        office.account(name)
        office.note(name, name, "Dentist", 2)
        office.connect(name)
    neighbour = world.connect("zoe", tenant="another-tenant")
    for tenant in (world.tenant, "another-tenant"):
        world.commit("job_1", haul(1, day=1), tenant=tenant)
    engine.sync()
    forgotten = forget(engine.pool, grants, world.tenant)
    assert (forgotten.events_removed, forgotten.grants, forgotten.job_rows_since) == (0, {"revoked": 2}, 0)
    assert set(forgotten.events_left) == {EventsLeft(office.id(name), 1, "kept") for name in ("ana", "bo")}
    world.commit("job_1", haul(1, day=8), tenant="another-tenant")
    engine.sync()
    tables = [table for (table,) in world.execute(TABLES_OF_TENANTS)]
    assert rows(world, *tables) == dict.fromkeys(tables, 0)
    stays = {"Dentist": private(2), "J-1": on(1)}
    assert office.agenda() == {"ana": stays, "bo": stays}
    [event] = world.events(neighbour)
    assert (event["summary"], event["start"]["dateTime"][:10]) == ("J-1", "2027-03-08")
