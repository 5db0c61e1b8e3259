"""Tokens are renewed in time, given up when Google says so, and legible to nobody but the daemon."""

import logging
from typing import Any

import pytest
from structlog.testing import capture_logs

from tests.integration.conftest import World, job
from tests.integration.steps import (
    InterruptedGoogle,
    choose,
    cipher_of,
    connection,
    grant,
    lane_pusher,
    lease_one,
    pair,
    pending,
    problems,
    reconnect,
    requests_for,
    retired_ids,
    revoke,
)
from web.api.paths import API
from web.sandbox.specs import AccountSpec, CalendarSpec

TITLE = "J-1 · Dallas → Memphis"


def refreshes(world: World, account: str) -> int:
    """How often this account's access token was renewed, or asked to be."""
    return sum(
        entry["path"] == "/token" and entry["body"]["grant_type"] == "refresh_token"
        for entry in requests_for(world, account)
    )


def tokens(world: World, name: str) -> dict[str, str]:
    """A user's stored tokens in plain text, by column."""
    stored = connection(world, name, "access_token", "refresh_token")
    return {
        column: cipher_of(world).decrypt(bytes(token), tenant_id=world.tenant, user_id=name, column=column)
        for column, token in zip(("access_token", "refresh_token"), stored, strict=True)
    }


def test_a_fresh_token_is_used_as_it_is(world: World) -> None:
    calendar = world.connect("u_ana")
    world.commit("job_1", job())
    world.sync()
    assert refreshes(world, calendar) == 0


def test_a_token_about_to_expire_is_renewed_before_the_call(world: World) -> None:
    calendar = world.connect("u_ana")
    old = tokens(world, "u_ana")
    world.advance(3400)
    for number in ("J-1", "J-2"):
        world.commit("job_1", job(number))
        world.sync()
    assert refreshes(world, calendar) == 1
    assert world.calls(calendar)[0] == ("POST", 200)
    new = tokens(world, "u_ana")
    assert new["access_token"] != old["access_token"]
    assert new["refresh_token"] == old["refresh_token"]


def test_a_token_that_google_no_longer_takes_is_renewed_once_and_the_call_repeated(world: World) -> None:
    calendar = world.connect("u_ana")
    world.fault(kind="refuse", method="POST", calendar=calendar, status=401, reason="authError", every=2, count=1)
    for number in ("J-1", "J-2", "J-3"):
        world.commit(number, job(number))
    world.sync()
    assert world.calls(calendar) == [("POST", 200), ("POST", 401), ("POST", 200), ("POST", 200)]
    assert refreshes(world, calendar) == 1
    assert len(world.titles(calendar)) == 3


def test_a_fresh_token_that_is_refused_too_ends_the_connection(world: World) -> None:
    calendar = world.connect("u_ana")
    world.fault(kind="refuse", method="POST", calendar=calendar, status=401, reason="authError")
    world.commit("job_1", job())
    world.sync()
    assert world.calls(calendar) == [("POST", 401)] * 2
    assert connection(world, "u_ana", "state", "reconnect_reason") == ("needs_reconnect", "revoked")
    assert pending(world) == ["job_1"]


def test_a_revoked_grant_keeps_what_waits_and_a_new_one_delivers_it_once(world: World) -> None:
    calendar = world.connect("u_ana")
    revoke(world, "u_ana")
    world.commit("job_1", job())
    world.sync()
    assert connection(world, "u_ana", "state", "reconnect_reason") == ("needs_reconnect", "revoked")
    assert pending(world) == ["job_1"]
    asked = len(requests_for(world, calendar))
    world.advance(7200)
    world.sync()
    assert len(requests_for(world, calendar)) == asked
    reconnect(world, "u_ana")
    world.sync()
    world.sync()
    assert world.titles(calendar) == [TITLE]
    assert [call for call in world.calls(calendar) if call[1] == 200] == [("POST", 200)]


def test_a_missing_permission_asks_for_a_new_consent(world: World) -> None:
    calendar = world.connect("u_ana")
    world.fault(kind="refuse", calendar=calendar, status=403, reason="insufficientPermissions", count=1)
    world.commit("job_1", job())
    world.sync()
    assert connection(world, "u_ana", "state", "reconnect_reason") == ("needs_reconnect", "missing_scope")
    assert pending(world) == ["job_1"]


def test_an_unreachable_token_server_rests_the_connection_and_loses_nothing(world: World) -> None:
    calendar = world.connect("u_ana")
    world.advance(3400)
    world.fault(kind="refuse", path="^/token$", account=calendar, status=503)
    world.commit("job_1", job())
    world.sync()
    assert connection(world, "u_ana", "state") == ("active",)
    assert world.execute("SELECT attempts FROM calendar_sync.pending_push") == [(0,)]
    world.heal()
    world.advance(60)
    world.sync()
    assert world.titles(calendar) == [TITLE]


def test_an_answer_to_an_older_grant_says_nothing_about_the_new_one(world: World) -> None:
    calendar = world.connect("u_ana")
    world.commit("job_1", job())
    world.fault(kind="refuse", calendar=calendar, status=403, reason="insufficientPermissions", count=1)
    google = InterruptedGoogle(world, after=lambda: reconnect(world, "u_ana"))
    with world.engine() as engine, lane_pusher(world, engine, google) as pusher:
        engine.relay.relay_batch()
        pusher.push(lease_one(engine))
        assert connection(world, "u_ana", "state") == ("active",)
        engine.sync()
    assert world.titles(calendar) == [TITLE]


def test_an_older_grants_renewed_token_does_not_replace_the_new_grants(world: World) -> None:
    calendar = world.connect("u_ana")
    world.commit("job_1", job())
    world.fault(kind="refuse", calendar=calendar, status=401, reason="authError", count=1)
    granted: dict[str, str] = {}

    def reconnect_meanwhile() -> None:
        reconnect(world, "u_ana")
        granted.update(tokens(world, "u_ana"))

    google = InterruptedGoogle(world, after=reconnect_meanwhile)
    with world.engine() as engine, lane_pusher(world, engine, google) as pusher:
        engine.relay.relay_batch()
        pusher.push(lease_one(engine))
    assert refreshes(world, calendar) == 1
    assert tokens(world, "u_ana") == granted
    assert world.titles(calendar) == [TITLE]


@pytest.mark.parametrize("column", ["access_token", "refresh_token"])
def test_a_token_copied_to_another_users_row_is_never_used(world: World, column: str) -> None:
    ana, bo = world.connect("u_ana"), world.connect("u_bo")
    world.execute(
        f"UPDATE calendar_sync.calendar_connection AS thief SET {column} = owner.{column}"
        " FROM calendar_sync.calendar_connection AS owner WHERE thief.user_id = 'u_bo' AND owner.user_id = 'u_ana'"
    )
    world.advance(3400 if column == "refresh_token" else 0)
    world.commit("job_1", job())
    asked = len(requests_for(world, ana))
    world.sync()
    assert connection(world, "u_bo", "state", "reconnect_reason") == ("needs_reconnect", "key_lost")
    assert connection(world, "u_ana", "state") == ("active",)
    assert (world.titles(ana), world.calls(bo)) == ([TITLE], [])
    assert world.calls(ana) == [("POST", 200)]
    assert len(requests_for(world, ana)) - asked == 1 + refreshes(world, ana)


def test_a_token_moved_to_another_column_of_its_row_is_never_used(world: World) -> None:
    calendar = world.connect("u_ana")
    world.execute("UPDATE calendar_sync.calendar_connection SET access_token = refresh_token")
    world.commit("job_1", job())
    world.sync()
    assert connection(world, "u_ana", "state", "reconnect_reason") == ("needs_reconnect", "key_lost")
    assert world.calls(calendar) == []


def two_on_one_account(world: World) -> tuple[str, str, str]:
    """Ana and Bo, who share a Google account, each with a calendar; returns the account, Bo's calendar and Ana's."""
    email, second = "shared@example.com", "second@group.calendar.google.com"
    world.google.add_account(AccountSpec(email=email, calendars=(CalendarSpec(id=second, summary="Second"),)))
    for name, calendar in (("u_ana", email), ("u_bo", second)):
        grant(world, name, email)
        choose(world, name, calendar)
    return email, second, email


def test_what_is_wrong_with_one_stored_token_rests_nobody_else_on_the_account(world: World) -> None:
    email, bos, anas = two_on_one_account(world)
    world.execute(
        "UPDATE calendar_sync.calendar_connection SET"
        " refresh_token = overlay(refresh_token PLACING 'x'::bytea FROM 3),"
        " access_token = overlay(access_token PLACING 'x'::bytea FROM 3) WHERE user_id = 'u_ana'"
    )
    for number in ("J-1", "J-2"):
        world.commit("job_1", job(number))
        world.sync()
    assert connection(world, "u_bo", "cooling_until") == (None,)
    assert connection(world, "u_ana", "state", "cooling_reason") == ("active", "ours")
    assert (world.titles(bos, email), world.titles(anas)) == (["J-2 · Dallas → Memphis"], [])
    assert world.caller("u_ana").ask("GET", API)["resting_reason"] == "ours"


def test_an_account_whose_calendar_is_switched_off_rests_and_goes_on_by_itself(world: World) -> None:
    calendar = world.connect("u_ana")
    world.commit("job_1", job())
    world.sync()
    world.fault(kind="refuse", path="^/calendar/v3/", account=calendar, status=403, reason="notACalendarUser")
    known = pair(world, calendar)
    world.commit("job_1", job("J-2"))
    world.commit("job_2", job("J-3"))
    world.sync()
    assert connection(world, "u_ana", "state", "cooling_reason") == ("active", "no_calendar")
    assert (problems(world), retired_ids(world), pending(world)) == ({}, [], ["job_1", "job_2"])
    world.heal()
    world.advance(3700)
    world.sync()
    assert world.titles(calendar) == ["J-2 · Dallas → Memphis", "J-3 · Dallas → Memphis"]
    assert pair(world, calendar).event_id == known.event_id


def test_no_table_and_no_log_shows_a_token(world: World, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    calendar = world.connect("u_ana")
    seen = set(tokens(world, "u_ana").values())
    with capture_logs() as logs:
        world.commit("job_1", job())
        world.sync()
        world.google.control("POST", "tokens/expire", {"account": calendar})
        world.commit("job_1", job("J-2"))
        world.sync()
        seen |= set(tokens(world, "u_ana").values())
        world.commit("job_2", [])
        world.fault(kind="refuse", method="POST", calendar=calendar, status=400, reason="invalid", count=1)
        world.commit("job_3", job("J-3"))
        world.sync()
        revoke(world, "u_ana")
        world.commit("job_1", job("J-4"))
        world.sync()
    assert len(seen) == 3
    assert {"connection_broken", "push_impossible", "outbox_row_rejected"} <= {entry["event"] for entry in logs}
    written = [str(entry) for entry in logs] + [record.getMessage() for record in caplog.records] + rows(world)
    assert not [text for text in written for token in seen if token in text]
    secret = world.stage.settings.google_oauth_client_secret.get_secret_value()
    assert not [text for text in written if secret in text]


def rows(world: World) -> list[str]:
    """Every row of every table as text, bytes decoded as far as they go."""
    tables = world.execute("SELECT tablename FROM pg_tables WHERE schemaname = 'calendar_sync'")
    found = [row for (table,) in tables for row in world.execute(f"SELECT * FROM calendar_sync.{table}")]
    assert len(found) > 5
    return [" ".join(map(legible, row)) for row in found]


def legible(value: Any) -> str:
    """A column's value as somebody would read it who looks for tokens."""
    return bytes(value).decode("latin-1") if isinstance(value, bytes | memoryview) else str(value)
