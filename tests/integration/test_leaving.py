"""Leaving a calendar or an account: what was put there goes, what others want stays, and what is said of it is true."""

from collections.abc import Iterator
from typing import Any

import pytest

from outbox.leaving import Leaving
from tests.integration.conftest import Engine, World, job
from tests.integration.steps import (
    choose,
    connection,
    delete,
    edit,
    grant,
    pair,
    pending,
    reconnect,
    requests_for,
    revoke,
    shared_calendar,
)
from web.api.paths import API
from web.demo.consent import give_consent
from web.sandbox.specs import AccountSpec, CalendarSpec

TITLE = "J-1 · Dallas → Memphis"


@pytest.fixture
def engine(world: World) -> Iterator[Engine]:
    """A daemon's parts, driven by the test."""
    with world.engine() as parts:
        yield parts


def with_two_calendars(world: World, name: str) -> tuple[str, str]:
    """A connected user whose account has a second calendar: both ids, the chosen one first."""
    email, second = f"{name}-{world.tenant}@example.com", f"second-{name}-{world.tenant}@example.com"
    world.google.add_account(AccountSpec(email=email, calendars=(CalendarSpec(id=second, summary="Second"),)))
    assert grant(world, name, email) == "choose_calendar"
    choose(world, name, email)
    return email, second


def seen(world: World, name: str) -> dict[str, Any]:
    """What the user sees of the connection."""
    return world.caller(name).ask("GET", API)


def disconnect(world: World, name: str, *, remove_events: bool) -> dict[str, Any]:
    """Have the user disconnect."""
    return world.caller(name).ask("POST", f"{API}/disconnect", {"remove_events": remove_events})


def test_another_calendar_is_filled_and_the_former_one_emptied(world: World, engine: Engine) -> None:
    first, second = with_two_calendars(world, "u_ana")
    for number in (1, 2, 3):
        world.commit(f"job_{number}", job(f"J-{number}"))
    engine.sync()
    choose(world, "u_ana", second)
    assert seen(world, "u_ana")["leaving"] == [{"name": first, "events": 3, "progress": None, "shared": False}]
    engine.sync()
    assert (len(world.titles(second, first)), world.titles(first)) == (3, [])
    assert seen(world, "u_ana")["leaving"] == []
    assert pending(world) == []


def test_the_former_calendar_stays_right_until_the_new_one_is_filled(world: World, engine: Engine) -> None:
    first, second = with_two_calendars(world, "u_ana")
    world.commit("job_1", job("J-1"))
    engine.sync()
    world.fault(kind="refuse", method="POST", path=f"/calendars/{second}/", status=503)
    choose(world, "u_ana", second)
    world.commit("job_1", job("J-1b"))
    engine.sync()
    assert world.titles(first) == ["J-1b · Dallas → Memphis"]
    world.heal()
    world.advance(300)
    engine.sync()
    assert (world.titles(first), world.titles(second, first)) == ([], ["J-1b · Dallas → Memphis"])


def test_whoever_goes_back_before_the_end_finds_everything_there(world: World, engine: Engine) -> None:
    first, second = with_two_calendars(world, "u_ana")
    for number in (1, 2):
        world.commit(f"job_{number}", job(f"J-{number}"))
    engine.sync()
    choose(world, "u_ana", second)
    choose(world, "u_ana", first)
    engine.sync()
    assert (len(world.titles(first)), world.titles(second, first)) == (2, [])
    assert seen(world, "u_ana")["leaving"] == []


def test_a_colleague_keeps_what_he_wants_of_a_calendar_that_somebody_leaves(world: World, engine: Engine) -> None:
    shared, reader = shared_calendar(world)
    world.connect("u_ana", calendar=shared)
    world.connect("u_bo", calendar=shared)
    world.caller("u_bo").ask("PATCH", API, {"job_filter": "assigned"})
    world.commit("job_1", job("J-1"))
    world.commit("job_2", job("J-2", assigned_user_ids=["u_bo"]))
    engine.sync()
    [own] = connection(world, "u_ana", "account_id")
    choose(world, "u_ana", own)
    engine.sync()
    assert world.titles(shared, reader) == ["J-2 · Dallas → Memphis"]
    assert len(world.titles(own)) == 2


def test_a_calendar_that_was_lost_is_left_without_further_calls(world: World, engine: Engine) -> None:
    first, second = with_two_calendars(world, "u_ana")
    world.commit("job_1", job())
    engine.sync()
    choose(world, "u_ana", second)
    world.google.control("POST", f"calendars/{first}/role", {"account": first, "role": "reader"})
    engine.sync()
    assert seen(world, "u_ana")["leaving"] == []
    assert seen(world, "u_ana")["state"] == "active"
    assert pending(world) == []
    assert world.titles(second, first) == [TITLE]


def test_disconnecting_may_leave_the_events_where_they_are(world: World, engine: Engine) -> None:
    calendar = world.connect("u_ana")
    world.commit("job_1", job())
    engine.sync()
    answer = disconnect(world, "u_ana", remove_events=False)
    assert (answer["state"], answer["revocation"]) == ("not_connected", "revoked")
    engine.sync()
    assert world.titles(calendar) == [TITLE]
    assert connection(world, "u_ana", "refresh_token", "access_token", "account_id", "calendar_id") == (None,) * 4
    assert seen(world, "u_ana")["last_disconnect"] == {"revocation": "revoked", "events_left": 1}
    assert pending(world) == []


def test_disconnecting_may_remove_the_events_first_and_revokes_afterwards(world: World, engine: Engine) -> None:
    calendar = world.connect("u_ana")
    for number in (1, 2):
        world.commit(f"job_{number}", job(f"J-{number}"))
    engine.sync()
    answer = disconnect(world, "u_ana", remove_events=True)
    assert (answer["state"], answer["revocation"]) == ("disconnecting", "pending")
    assert len(world.titles(calendar)) == 2
    engine.sync()
    assert world.titles(calendar) == []
    assert seen(world, "u_ana")["state"] == "not_connected"
    assert seen(world, "u_ana")["last_disconnect"] == {"revocation": "revoked", "events_left": 0}
    assert connection(world, "u_ana", "refresh_token") == (None,)


def test_jobs_that_change_while_a_user_disconnects_do_not_hold_it_up(world: World, engine: Engine) -> None:
    calendar = world.connect("u_ana")
    world.commit("job_1", job())
    engine.sync()
    disconnect(world, "u_ana", remove_events=True)
    world.commit("job_1", job("J-1b"))
    world.commit("job_2", job("J-2"))
    engine.sync()
    assert world.titles(calendar) == []
    assert seen(world, "u_ana")["state"] == "not_connected"
    assert pending(world) == []


def test_connecting_again_while_disconnecting_brings_everything_back(world: World, engine: Engine) -> None:
    calendar = world.connect("u_ana")
    for number in (1, 2):
        world.commit(f"job_{number}", job(f"J-{number}"))
    engine.sync()
    disconnect(world, "u_ana", remove_events=True)
    engine.pusher.drain()
    assert world.titles(calendar) == []
    assert reconnect(world, "u_ana") == "active"
    engine.sync()
    assert len(world.titles(calendar)) == 2
    assert seen(world, "u_ana")["state"] == "active"


def test_disconnecting_works_with_a_dead_grant_and_says_what_is_left(world: World, engine: Engine) -> None:
    calendar = world.connect("u_ana")
    world.commit("job_1", job())
    engine.sync()
    revoke(world, "u_ana")
    world.commit("job_1", job("J-1b"))
    engine.sync()
    assert seen(world, "u_ana")["state"] == "needs_reconnect"
    answer = disconnect(world, "u_ana", remove_events=True)
    assert (answer["state"], answer["revocation"]) == ("not_connected", "dead")
    assert seen(world, "u_ana")["last_disconnect"] == {"revocation": "dead", "events_left": 1}
    assert world.titles(calendar) == [TITLE]


def test_a_grant_that_dies_while_the_events_are_removed_ends_the_disconnect_all_the_same(
    world: World, engine: Engine
) -> None:
    world.connect("u_ana")
    world.commit("job_1", job())
    engine.sync()
    revoke(world, "u_ana")
    assert disconnect(world, "u_ana", remove_events=True)["state"] == "disconnecting"
    engine.sync()
    assert seen(world, "u_ana")["state"] == "not_connected"
    assert seen(world, "u_ana")["last_disconnect"] == {"revocation": "dead", "events_left": 1}


def test_a_calendar_that_is_lost_while_its_events_are_removed_ends_the_disconnect_all_the_same(
    world: World, engine: Engine
) -> None:
    calendar = world.connect("u_ana")
    world.commit("job_1", job())
    engine.sync()
    disconnect(world, "u_ana", remove_events=True)
    world.google.control("POST", f"calendars/{calendar}/role", {"account": calendar, "role": "reader"})
    engine.sync()
    assert seen(world, "u_ana")["state"] == "not_connected"
    assert seen(world, "u_ana")["last_disconnect"] == {"revocation": "revoked", "events_left": 1}


def test_a_google_account_behind_two_connections_keeps_its_grant_until_the_last_one_ends(
    world: World, engine: Engine
) -> None:
    calendar = world.connect("u_ana")
    assert grant(world, "u_bo", calendar) == "choose_calendar"
    choose(world, "u_bo", calendar)
    world.commit("job_1", job())
    engine.sync()
    assert disconnect(world, "u_ana", remove_events=False)["revocation"] == "shared"
    world.commit("job_1", job("J-1b"))
    engine.sync()
    assert world.titles(calendar) == ["J-1b · Dallas → Memphis"]
    assert disconnect(world, "u_bo", remove_events=False)["revocation"] == "revoked"


def test_a_grant_shared_with_another_tenant_is_not_revoked(world: World) -> None:
    email = world.connect("u_ana")
    give_consent(world.caller("u_zoe", tenant="another-tenant"), email)
    assert disconnect(world, "u_ana", remove_events=False)["revocation"] == "shared"


@pytest.mark.parametrize(
    ("fault", "revocation"),
    [
        ({"kind": "refuse", "status": 503}, "unanswered"),
        ({"kind": "cut"}, "unanswered"),
        ({"kind": "html"}, "unanswered"),
        ({"kind": "refuse", "status": 403}, "refused"),
    ],
)
def test_the_tokens_are_gone_here_and_the_truth_is_told_when_google_does_not_revoke(
    world: World, fault: dict[str, Any], revocation: str
) -> None:
    world.connect("u_ana")
    world.fault(path="/revoke", **fault)
    assert disconnect(world, "u_ana", remove_events=False)["revocation"] == revocation
    assert connection(world, "u_ana", "refresh_token", "access_token", "state") == (None, None, "not_connected")


def test_disconnecting_twice_does_nothing_the_second_time(world: World) -> None:
    world.connect("u_ana")
    disconnect(world, "u_ana", remove_events=False)
    assert disconnect(world, "u_ana", remove_events=False)["revocation"] == "nothing"


def test_the_former_accounts_grant_is_revoked_when_a_user_connects_another(world: World) -> None:
    first = world.connect("u_ana")
    other = f"other-{first}"
    world.google.add_account(AccountSpec(email=other))
    assert grant(world, "u_ana", other) == "choose_calendar"
    world.sync()
    assert [(entry["path"], entry["status"]) for entry in requests_for(world, first)][-1] == ("/revoke", 200)
    choose(world, "u_ana", other)
    world.commit("job_1", job())
    world.sync()
    assert world.titles(other) == [TITLE]


def test_resync_puts_right_what_was_changed_or_deleted_in_google(world: World, engine: Engine) -> None:
    calendar = world.connect("u_ana")
    for number in (1, 2):
        world.commit(f"job_{number}", job(f"J-{number}"))
    engine.sync()
    edit(world, calendar, pair(world, calendar, "job_1").event_id, summary="Mine", colorId="5")
    delete(world, calendar, pair(world, calendar, "job_2").event_id)
    assert world.caller("u_ana").ask("POST", f"{API}/resync") == {"marked": 2}
    engine.sync()
    assert world.titles(calendar) == [TITLE, "J-2 · Dallas → Memphis"]
    assert [event.get("colorId") for event in world.events(calendar)].count("5") == 1


def test_resync_keeps_the_reminders_that_the_user_set_since(world: World, engine: Engine) -> None:
    calendar = world.connect("u_ana")
    for number in (1, 2, 3):
        world.commit(f"job_{number}", job(f"J-{number}"))
    engine.sync()
    mine = {"useDefault": False, "overrides": [{"method": "popup", "minutes": 15}]}
    event_id = pair(world, calendar, "job_1").event_id
    edit(world, calendar, event_id, reminders=mine)
    world.caller("u_ana").ask("POST", f"{API}/resync")
    engine.sync()
    assert [event["reminders"] for event in world.events(calendar) if event["id"] == event_id] == [mine]


def test_what_a_job_left_that_was_forgotten_goes_when_the_calendar_is_emptied_and_not_before(
    world: World, engine: Engine
) -> None:
    calendar = world.connect("u_ana")
    for number in (1, 2):
        world.commit(f"job_{number}", job(f"J-{number}"))
    engine.sync()
    # As the janitor leaves a pair behind whose event has a later id.
    world.execute("UPDATE calendar_sync.pushed_event SET id_generation = 2 WHERE job_id = 'job_1'")
    world.execute("DELETE FROM calendar_sync.job WHERE job_id = 'job_1'")
    world.caller("u_ana").ask("POST", f"{API}/resync")
    engine.sync()
    assert len(world.titles(calendar)) == 2
    disconnect(world, "u_ana", remove_events=True)
    engine.sync()
    assert world.titles(calendar) == []


def test_a_paused_connection_catches_up_when_it_is_resumed(world: World, engine: Engine) -> None:
    calendar = world.connect("u_ana")
    assert world.caller("u_ana").ask("PATCH", API, {"paused": True})["state"] == "paused"
    world.commit("job_1", job())
    engine.sync()
    assert world.titles(calendar) == []
    assert seen(world, "u_ana")["pending"] == 1
    assert world.caller("u_ana").ask("PATCH", API, {"paused": False})["state"] == "active"
    engine.sync()
    assert world.titles(calendar) == [TITLE]


def test_changing_the_filter_moves_the_events_at_once(world: World, engine: Engine) -> None:
    calendar = world.connect("u_ana")
    world.commit("job_1", job(assigned_user_ids=["u_ana"]))
    world.commit("job_2", job("J-2"))
    engine.sync()
    world.caller("u_ana").ask("PATCH", API, {"job_filter": "assigned"})
    engine.sync()
    assert world.titles(calendar) == [TITLE]
    world.caller("u_ana").ask("PATCH", API, {"job_filter": "all"})
    engine.sync()
    assert len(world.titles(calendar)) == 2


def test_nothing_is_left_to_do_for_whoever_leaves_nothing(engine: Engine) -> None:
    leaving: Leaving = engine.daemon._leaving
    assert leaving.work() == 0
