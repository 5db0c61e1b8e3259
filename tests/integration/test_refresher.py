"""Tokens are renewed before they are needed and dead grants found before they are missed, whatever Google answers."""

from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

import psycopg
import pytest
from psycopg.rows import dict_row
from structlog.testing import capture_logs

from outbox.access import Access
from outbox.google.oauth import GoogleOAuth
from outbox.refresher import CLAIM_SECONDS, IN_USE_SECONDS, LOOK_SECONDS, PAUSE_SECONDS, Refresher
from outbox.statements import statement
from tests.integration.conftest import World, eventually, job
from tests.integration.interleaving import Paused, Pool
from tests.integration.steps import choose, cipher_of, connection, grant, reconnect, requests_for, revoke
from web.api.paths import API
from web.sandbox.specs import AccountSpec

HOUR = 3600.0
DAY = 24 * HOUR


def refreshes(world: World, account: str) -> int:
    """How often a new access token of this account was asked for."""
    return sum(
        entry["path"] == "/token" and entry["body"]["grant_type"] == "refresh_token"
        for entry in requests_for(world, account)
    )


@contextmanager
def refresher(world: World) -> Iterator[Refresher]:
    """A daemon's refresher, without its thread."""
    with world.engine() as engine:
        yield refresher_over(world, engine.pool)


def refresher_over(world: World, pool: Pool, *, request_seconds: float = 5.0) -> Refresher:
    settings = world.stage.settings
    oauth = GoogleOAuth(
        settings.google_oauth_client_id,
        settings.google_oauth_client_secret.get_secret_value(),
        settings.google_oauth_redirect_uri,
        authorize_url=settings.google_authorize_url,
        token_url=settings.google_token_url,
        revoke_url=settings.google_revoke_url,
        stop=world.stop,
        request_timeout=request_seconds,
        sleep=lambda _: None,  # between the repeats of one request
    )
    return Refresher(pool, Access(pool, cipher_of(world), oauth), world.stop)


def refresh(world: World) -> float:
    """One round of a daemon that has just been started; returns the pause that it asks for."""
    with refresher(world) as one:
        return one.work()


def notifications(world: World) -> list[tuple[str, str, str | None]]:
    """Whom something was told, what, and why, in order."""
    return [
        (user, kind, reason)
        for user, kind, reason in world.execute(
            "SELECT user_id, kind, reason FROM calendar_sync.notification ORDER BY id"
        )
    ]


def test_a_connection_in_use_has_a_fresh_token_before_the_old_one_expires(world: World) -> None:
    calendar = world.connect("u_ana")
    world.commit("job_1", job())
    world.sync()
    assert refresh(world) == LOOK_SECONDS
    assert refreshes(world, calendar) == 0
    world.advance(3599 - 900)
    refresh(world)
    assert refreshes(world, calendar) == 1
    world.advance(600)
    world.commit("job_1", job("J-2"))
    world.sync()
    refresh(world)
    assert refreshes(world, calendar) == 1, "neither the push nor the refresher had to ask again"


def test_a_connection_with_something_to_push_has_one_too(world: World) -> None:
    calendar = world.connect("u_ana")
    world.commit("job_1", job())
    world.fault(kind="refuse", path="^/calendar/v3/", account=calendar, status=403, reason="quotaExceeded")
    world.sync()
    world.advance(3599 - 900)
    refresh(world)
    assert refreshes(world, calendar) == 1


def test_an_idle_connection_is_touched_about_once_a_day(world: World) -> None:
    calendar = world.connect("u_ana")
    world.commit("job_1", job())
    world.sync()
    world.execute("UPDATE calendar_sync.lane SET last_pushed_at = last_pushed_at - interval '1 day'")
    with refresher(world) as one:
        for _ in range(17):
            world.advance(HOUR)
            one.work()
        assert refreshes(world, calendar) == 0
        world.advance(13 * HOUR)
        one.work()
        assert refreshes(world, calendar) == 1
        world.advance(IN_USE_SECONDS)
        one.work()
        assert refreshes(world, calendar) == 1


def test_every_live_grant_is_touched_and_no_other(world: World) -> None:
    live = {name: world.connect(name) for name in ("u_active", "u_paused", "u_lost")}
    other = {name: world.connect(name) for name in ("u_broken", "u_leaving", "u_gone")}
    live["u_choosing"] = "choosing@example.com"
    world.google.add_account(AccountSpec(email=live["u_choosing"]))
    assert grant(world, "u_choosing", live["u_choosing"]) == "choose_calendar"
    world.caller("u_paused").ask("PATCH", API, {"paused": True})
    set_state(world, "u_lost", "calendar_lost")
    set_state(world, "u_broken", "needs_reconnect")
    set_state(world, "u_leaving", "disconnecting")
    world.caller("u_gone").ask("POST", f"{API}/disconnect", {"remove_events": False})
    world.advance(1.5 * DAY)
    refresh(world)
    assert {name: refreshes(world, account) for name, account in live.items()} == dict.fromkeys(live, 1)
    assert {name: refreshes(world, account) for name, account in other.items()} == dict.fromkeys(other, 0)


def set_state(world: World, name: str, state: str) -> None:
    world.execute("UPDATE calendar_sync.calendar_connection SET state = %s WHERE user_id = %s", state, name)


def test_of_two_daemons_one_asks(world: World) -> None:
    calendar = world.connect("u_ana")
    world.advance(1.5 * DAY)
    first = Paused(world, "connection/store_access_token", lambda pool: refresher_over(world, pool).work())
    refresh(world)
    first.result()
    refresh(world)
    assert refreshes(world, calendar) == 1


def test_a_daemon_that_dies_over_a_grant_leaves_it_to_the_others_after_a_while(world: World) -> None:
    calendar = world.connect("u_ana")
    world.advance(1.5 * DAY)
    with world.engine() as engine, engine.pool.connection() as dying:
        dying.execute(statement("refresh/claim"), {"in_use_seconds": 0, "claim_seconds": CLAIM_SECONDS})
    refresh(world)
    assert refreshes(world, calendar) == 0
    world.advance(CLAIM_SECONDS)
    refresh(world)
    assert refreshes(world, calendar) == 1


@pytest.mark.parametrize("revoked", [False, True], ids=["renewed", "refused"])
def test_what_is_learnt_of_a_grant_is_not_said_of_the_next_one(world: World, revoked: bool) -> None:
    world.connect("u_ana")
    world.advance(1.5 * DAY)
    if revoked:
        revoke(world, "u_ana")
    at = "connection/break_connection" if revoked else "connection/store_access_token"
    late = Paused(world, at, lambda pool: refresher_over(world, pool).work())
    reconnect(world, "u_ana")
    granted = connection(world, "u_ana", "state", "reconnect_reason", "access_token", "refresh_token")
    late.result()
    assert connection(world, "u_ana", "state", "reconnect_reason", "access_token", "refresh_token") == granted
    assert notifications(world) == []


BROKEN: list[tuple[dict[str, Any], str]] = [
    ({"status": 400, "reason": "invalid_grant"}, "revoked"),
    ({"status": 400, "reason": "admin_policy_enforced"}, "blocked_by_admin"),
    ({"status": 401, "reason": "unauthorized_client"}, "revoked"),
]
UNTOUCHED: list[dict[str, Any]] = [
    {"kind": "refuse", "status": 401, "reason": "invalid_client"},
    {"kind": "refuse", "status": 401, "reason": "deleted_client"},
    {"kind": "refuse", "status": 400, "reason": "invalid_request"},
    {"kind": "refuse", "status": 400, "reason": "never_heard_of"},
    {"kind": "refuse", "status": 503, "reason": "internal_failure"},
    {"kind": "html"},
    {"kind": "garbage"},
    {"kind": "cut"},
    {"kind": "delay", "seconds": 2.0},
]


def test_only_google_saying_that_a_grant_is_dead_breaks_its_connection_and_tells_its_user(world: World) -> None:
    """The rows of the token endpoint's errors, as a daemon meets them."""
    names = {f"u_{number}": (fault, reason) for number, (fault, reason) in enumerate(BROKEN)}
    accounts = {name: world.connect(name) for name in [*names, "u_well"]}
    world.advance(1.5 * DAY)

    def total() -> int:
        return sum(refreshes(world, account) for account in accounts.values())

    def have_asked(before: int) -> bool:
        return total() > before

    before = world.execute("SELECT * FROM calendar_sync.calendar_connection ORDER BY connection_id")
    asked = total()
    for fault in UNTOUCHED:
        world.fault(path="^/token$", **fault)
        with world.engine() as engine:
            refresher_over(world, engine.pool, request_seconds=0.5 if fault["kind"] == "delay" else 5.0).work()
        world.heal()
        world.advance(CLAIM_SECONDS)
        assert world.execute("SELECT * FROM calendar_sync.calendar_connection ORDER BY connection_id") == before, fault
        eventually(partial(have_asked, asked))
        asked = total()
    assert notifications(world) == []
    for name, (fault, _) in names.items():
        world.fault(kind="refuse", path="^/token$", account=accounts[name], **fault)
    refresh(world)
    for name, (_, reason) in names.items():
        assert connection(world, name, "state", "reconnect_reason") == ("needs_reconnect", reason)
    assert connection(world, "u_well", "state") == ("active",)
    assert sorted(notifications(world)) == [(name, "broken", reason) for name, (_, reason) in sorted(names.items())]


def test_a_token_server_that_fails_is_asked_ever_more_slowly_and_complained_of_once(world: World) -> None:
    accounts = [world.connect(f"u_{number}") for number in range(4)]
    world.advance(1.5 * DAY)
    world.fault(kind="refuse", path="^/token$", status=503)
    with refresher(world) as one, capture_logs() as logs:
        pauses = [one.work() for _ in range(2)]
        world.heal()
        one.work()
    for pause, growing in zip(pauses, (1, 2), strict=True):
        assert 0.75 * growing * PAUSE_SECONDS <= pause <= 1.25 * growing * PAUSE_SECONDS
    assert [entry["event"] for entry in logs] == ["token_server_failed", "token_server_answers_again"]
    assert sum(connection(world, f"u_{number}", "state") == ("active",) for number in range(4)) == len(accounts)


def test_a_client_that_google_refuses_is_the_operators_alarm_and_asked_about_by_one_for_all(world: World) -> None:
    accounts = [world.connect(f"u_{number}") for number in range(4)]
    world.commit("job_1", job())
    world.advance(HOUR)
    world.fault(kind="refuse", path="^/token$", status=401, reason="invalid_client")
    with world.engine() as engine, capture_logs() as logs:
        engine.sync()
    assert sum(refreshes(world, account) for account in accounts) == 1
    assert [entry["log_level"] for entry in logs if entry["log_level"] not in ("info", "debug")] == ["error"]
    with refresher(world) as one, capture_logs() as logs:
        assert one.work() >= PAUSE_SECONDS
        assert one.work() >= PAUSE_SECONDS
    assert sum(refreshes(world, account) for account in accounts) == 2
    assert [(entry["event"], entry["log_level"]) for entry in logs] == [("operators_matter", "error")]
    assert world.execute("SELECT DISTINCT state FROM calendar_sync.calendar_connection") == [("active",)]
    assert notifications(world) == []


def test_an_api_that_is_not_enabled_is_one_alarm_and_nobodys_fault(world: World) -> None:
    for number in range(3):
        world.connect(f"u_{number}")
    world.commit("job_1", job())
    world.fault(kind="refuse", path="^/calendar/v3/", status=403, reason="accessNotConfigured")
    with world.engine() as engine, capture_logs() as logs:
        engine.sync()
    assert [entry["event"] for entry in logs if entry["log_level"] == "error"] == ["operators_matter"]
    assert world.execute("SELECT DISTINCT state FROM calendar_sync.calendar_connection") == [("active",)]
    assert world.execute("SELECT DISTINCT attempts, problem FROM calendar_sync.pending_push") == [(0, None)]
    assert notifications(world) == []


def test_a_key_that_is_missing_here_stops_nobody_else_and_parts_nobody_from_a_calendar(world: World) -> None:
    ana, bo = world.connect("u_ana"), world.connect("u_bo")
    world.execute(
        "UPDATE calendar_sync.calendar_connection SET refresh_token = overlay(refresh_token PLACING 'x'::bytea FROM 3)"
        " WHERE user_id = 'u_ana'"
    )
    world.advance(1.5 * DAY)
    with capture_logs() as logs:
        refresh(world)
    assert (refreshes(world, ana), refreshes(world, bo)) == (0, 1)
    assert connection(world, "u_ana", "state") == ("active",)
    assert [entry["log_level"] for entry in logs] == ["error"]


def test_an_unknown_error_about_one_grant_pauses_nobody_else_and_the_operator_is_told(world: World) -> None:
    accounts = [world.connect(f"u_{number}") for number in range(3)]
    world.advance(1.5 * DAY)
    world.fault(kind="refuse", path="^/token$", account=accounts[1], status=403, reason="never_heard_of")
    with refresher(world) as one, capture_logs() as logs:
        one.work()
        assert one.work() > 0
    assert [refreshes(world, account) > 0 for account in accounts] == [True] * 3
    assert [entry["reason"] for entry in logs if entry["event"] == "operators_matter"] == [
        "Google's token server answers with an unknown error: never_heard_of"
    ]
    assert "token_server_failed" not in [entry["event"] for entry in logs]
    assert world.execute("SELECT DISTINCT state FROM calendar_sync.calendar_connection") == [("active",)]


def test_a_round_costs_the_same_however_many_connections_are_idle(world: World) -> None:
    world.execute(
        "INSERT INTO calendar_sync.calendar_connection"
        " (tenant_id, user_id, state, calendar_id, refresh_token, access_token_expires_at)"
        " SELECT 'idle', 'u_' || n, 'active', 'c_' || n, '', calendar_sync.now() + interval '1 hour'"
        " FROM generate_series(1, 10000) AS n"
    )
    world.execute("ANALYZE calendar_sync.token_refresh, calendar_sync.calendar_connection")
    with psycopg.connect(world.database_url, row_factory=dict_row) as session:
        for name in ("refresh/claim", "refresh/seconds_until_due"):
            parameters = {"in_use_seconds": IN_USE_SECONDS, "claim_seconds": CLAIM_SECONDS}
            explained = session.execute(
                b"EXPLAIN (ANALYZE, BUFFERS, FORMAT JSON) " + statement(name).as_bytes(), parameters
            ).fetchone()
            assert explained is not None
            [plan] = explained["QUERY PLAN"]
            assert plan["Plan"]["Shared Hit Blocks"] + plan["Plan"]["Shared Read Blocks"] < 20, name
            session.rollback()


def test_another_calendar_can_be_chosen_with_the_token_that_the_refresher_kept(world: World) -> None:
    calendar = world.connect("u_ana")
    set_state(world, "u_ana", "calendar_lost")
    world.advance(1.5 * DAY)
    refresh(world)
    choose(world, "u_ana", calendar)
    assert refreshes(world, calendar) == 1
    assert [(kind, reason) for _, kind, reason in notifications(world)] == [
        ("broken", "calendar_lost"),
        ("recovered", None),
    ]
