"""That a connection broke or works again is told once, and the host app can read it without missing any."""

import re
from pathlib import Path
from typing import get_args

import psycopg
import pytest
from structlog.testing import capture_logs

from outbox.access import Access
from outbox.connection_view import ReconnectReason
from outbox.janitor import SLICE
from outbox.runtime import oauth_client
from outbox.trouble import Broken
from outbox.user import User
from tests.integration.conftest import World, job
from tests.integration.interleaving import Paused, Pool
from tests.integration.steps import choose, cipher_of, connection, grant, pending, reconnect, revoke
from web.api.paths import API
from web.sandbox.specs import AccountSpec, CalendarSpec

GUIDE = Path(__file__).resolve().parents[2] / "docs" / "notifications.md"

RUNBOOK = GUIDE.parent / "runbooks" / "revoked-grants.md"

DAY = 86400.0


def told(world: World, name: str = "u_ana") -> list[tuple[str, str | None]]:
    """What a user was told, and why, in order."""
    return [
        (kind, reason)
        for kind, reason in world.execute(
            "SELECT kind, reason FROM calendar_sync.notification WHERE (tenant_id, user_id) = (%s, %s) ORDER BY id",
            world.tenant,
            name,
        )
    ]


def remind(world: World) -> int:
    """What the janitor does once a minute; returns how many were reminded."""
    with world.engine() as engine:
        return engine.janitor.remind()


def break_by_push(world: World) -> None:
    """The user ends our access, and the next push finds out."""
    revoke(world, "u_ana")
    world.commit("job_1", job())
    world.sync()


def test_a_dead_grant_is_told_once_and_its_renewal_too_and_what_waited_is_delivered_once(world: World) -> None:
    calendar = world.connect("u_ana")
    assert told(world) == []
    revoke(world, "u_ana")
    for number in range(3):
        world.commit(f"job_{number}", job(f"J-{number}"))
        world.sync()
    assert told(world) == [("broken", "revoked")]
    assert pending(world) == ["job_0", "job_1", "job_2"]
    assert reconnect(world, "u_ana") == "active"
    world.sync()
    world.sync()
    assert [call for call in world.calls(calendar) if call[1] == 200] == [("POST", 200)] * 3
    assert told(world) == [("broken", "revoked"), ("recovered", None)]


def test_a_lost_calendar_is_told_once_and_its_successor_too(world: World) -> None:
    email, other = "ana@example.com", "other@group.calendar.google.com"
    world.google.add_account(AccountSpec(email=email, calendars=(CalendarSpec(id=other, summary="Other"),)))
    grant(world, "u_ana", email)
    choose(world, "u_ana", email)
    world.fault(kind="refuse", calendar=email, status=403, reason="requiredAccessLevel")
    for number in ("J-1", "J-2"):
        world.commit("job_1", job(number))
        world.sync()
    assert told(world) == [("broken", "calendar_lost")]
    choose(world, "u_ana", other)
    assert told(world) == [("broken", "calendar_lost"), ("recovered", None)]


@pytest.mark.parametrize("meanwhile", ["nothing", "the grant dies"])
def test_a_new_grant_of_the_same_account_does_not_bring_back_a_lost_calendar(world: World, meanwhile: str) -> None:
    email, other = f"ana@{world.tenant}.example.com", f"{world.tenant}@group.calendar.google.com"
    world.google.add_account(AccountSpec(email=email, calendars=(CalendarSpec(id=other, summary="Other"),)))
    grant(world, "u_ana", email)
    choose(world, "u_ana", other)
    world.fault(kind="refuse", calendar=other, status=404, reason="notFound")
    world.commit("job_1", job())
    world.sync()
    found = [("broken", "calendar_lost")]
    if meanwhile == "the grant dies":
        world.execute(
            "UPDATE calendar_sync.calendar_connection SET state = 'needs_reconnect', reconnect_reason = 'revoked'"
        )
        found += [("broken", "revoked"), ("broken", "calendar_lost")]
    assert reconnect(world, "u_ana") == "calendar_lost"
    world.sync()
    assert told(world) == found
    world.heal()
    choose(world, "u_ana", other)
    world.sync()
    assert world.titles(other, email) == ["J-1 · Dallas → Memphis"]
    assert told(world) == [*found, ("recovered", None)]


def test_what_breaks_is_logged_by_the_daemon_that_wrote_it_down_and_no_other(world: World) -> None:
    world.connect("u_ana")
    with world.engine() as engine, capture_logs() as logs:
        access = Access(engine.pool, cipher_of(world), oauth_client(world.stage.settings, world.stop))
        stored = access.read_grant(User(world.tenant, "u_ana"))
        assert stored is not None
        for _ in range(2):
            access.record_trouble(stored, Broken("needs_reconnect", "revoked"))
    assert [entry["event"] for entry in logs if entry["log_level"] == "warning"] == ["connection_broken"]


ANSWERS = {
    "u_no_calendar": (403, "notACalendarUser", []),
    "u_refused": (401, "authError", [("broken", "revoked")]),
    "u_unpermitted": (403, "insufficientPermissions", [("broken", "missing_scope")]),
    "u_reading": (403, "requiredAccessLevel", [("broken", "calendar_lost")]),
    "u_missing": (404, "notFound", [("broken", "calendar_lost")]),
    "u_over_quota": (403, "quotaExceeded", []),
    "u_asking_wrongly": (400, "invalid", []),
    "u_unlucky": (503, "backendError", []),
}
"""By user, how Google answers every call, and what the user is told."""


def test_only_what_its_user_has_to_mend_is_told(world: World) -> None:
    for name, (status, reason, _) in ANSWERS.items():
        calendar = world.connect(name)
        world.fault(kind="refuse", path="^/calendar/v3/", account=calendar, status=status, reason=reason)
    world.commit("job_1", job())
    world.sync()
    assert {name: told(world, name) for name in ANSWERS} == {name: told for name, (_, _, told) in ANSWERS.items()}


def test_two_daemons_that_learn_of_it_at_once_tell_it_once(world: World) -> None:
    world.connect("u_ana")

    def learn(pool: Pool) -> None:
        access = Access(pool, cipher_of(world), oauth_client(world.stage.settings, world.stop))
        stored = access.read_grant(User(world.tenant, "u_ana"))
        assert stored is not None
        access.record_trouble(stored, Broken("needs_reconnect", "revoked"))

    both = [Paused(world, "connection/break_connection", learn) for _ in range(2)]
    for daemon in both:
        daemon.go_on()
    for daemon in both:
        daemon.result()
    assert told(world) == [("broken", "revoked")]


def test_reminders_come_after_three_seven_and_fourteen_days_and_then_no_more(world: World) -> None:
    world.connect("u_ana")
    break_by_push(world)
    reminded_on = []
    with world.engine() as engine:
        for day in range(1, 31):
            world.advance(DAY)
            if engine.janitor.remind():
                reminded_on.append(day)
    assert reminded_on == [3, 7, 14]
    assert told(world) == [("broken", "revoked"), *[("reminder", "revoked")] * 3]


def test_what_breaks_in_another_way_is_told_too_and_its_reminders_begin_anew(world: World) -> None:
    world.connect("u_ana")
    breaking = "UPDATE calendar_sync.calendar_connection SET state = %s, reconnect_reason = %s"
    world.execute(breaking, "calendar_lost", None)
    world.advance(2 * DAY)
    world.execute(breaking, "needs_reconnect", "revoked")
    world.advance(2 * DAY)
    assert remind(world) == 0
    world.advance(DAY)
    assert remind(world) == 1
    assert told(world) == [("broken", "calendar_lost"), ("broken", "revoked"), ("reminder", "revoked")]


def test_a_reminder_says_what_is_wrong_by_then_and_what_fell_into_a_standstill_is_said_once(world: World) -> None:
    world.connect("u_ana")
    break_by_push(world)
    other = "else@example.com"
    world.google.add_account(AccountSpec(email=other))
    assert grant(world, "u_ana", other) == "choose_calendar"
    world.advance(8 * DAY)
    assert [remind(world) for _ in range(2)] == [1, 0]
    assert told(world) == [("broken", "revoked"), ("reminder", "choose_calendar")]
    choose(world, "u_ana", other)
    world.advance(30 * DAY)
    assert remind(world) == 0
    assert told(world)[2:] == [("recovered", None)]


@pytest.mark.parametrize("ending", ["reconnect", "disconnect"])
def test_nobody_is_reminded_of_what_is_over(world: World, ending: str) -> None:
    world.connect("u_ana")
    break_by_push(world)
    if ending == "reconnect":
        reconnect(world, "u_ana")
    else:
        world.caller("u_ana").ask("POST", f"{API}/disconnect", {"remove_events": False})
    world.advance(30 * DAY)
    assert remind(world) == 0
    recovered = [("recovered", None)] if ending == "reconnect" else []
    assert told(world) == [("broken", "revoked"), *recovered]


def test_many_are_reminded_in_slices(world: World) -> None:
    world.execute(
        "INSERT INTO calendar_sync.calendar_connection (tenant_id, user_id, state, calendar_id)"
        " SELECT %s, 'u_' || n, 'active', 'c_' || n FROM generate_series(1, %s) AS n",
        world.tenant,
        SLICE + 1,
    )
    world.execute("UPDATE calendar_sync.calendar_connection SET state = 'calendar_lost'")
    world.advance(3 * DAY)
    with world.engine() as engine:
        assert [engine.janitor.remind() for _ in range(3)] == [SLICE, 1, 0]
    assert told(world, "u_1") == [("broken", "calendar_lost"), ("reminder", "calendar_lost")]


def test_a_chore_that_fails_holds_up_no_other(world: World) -> None:
    world.connect("u_ana")
    break_by_push(world)
    world.execute("DROP FUNCTION calendar_sync.next_reminder CASCADE")  # reminders cannot be counted
    world.advance(91 * DAY)
    with world.engine() as engine, capture_logs() as logs:
        for _ in range(2):
            engine.janitor.work()
    assert [(entry["event"], entry["chore"]) for entry in logs] == [("chore_failed", "reminders")]
    assert told(world) == []


def test_notifications_are_forgotten_after_ninety_days(world: World) -> None:
    world.connect("u_ana")
    break_by_push(world)
    with world.engine() as engine:
        world.advance(89 * DAY)
        engine.janitor.delete_old_traces()
        assert told(world) == [("broken", "revoked")]
        world.advance(2 * DAY)
        engine.janitor.delete_old_traces()
    assert told(world) == []


def test_the_host_app_misses_none_though_they_become_visible_out_of_order(world: World) -> None:
    """The guide's own statements, run as the role that it names."""
    for name in ("u_ana", "u_bo"):
        world.connect(name)
    world.execute("CREATE SCHEMA host_app AUTHORIZATION calendar_sync_host")
    with psycopg.connect(world.database_url, autocommit=True) as host, psycopg.connect(world.database_url) as late:
        host.execute("SET ROLE calendar_sync_host")
        host.execute(example("table"))
        breaking = "UPDATE calendar_sync.calendar_connection SET state = 'calendar_lost' WHERE user_id = %s"
        late.execute(breaking, ["u_ana"])
        world.execute(breaking, "u_bo")
        first = host.execute(example("poll")).fetchall()
        late.commit()
        second = host.execute(example("poll")).fetchall()
        assert host.execute(example("poll")).fetchall() == []
    assert first[0][0] > second[0][0]
    assert [row[2:] for row in first + second] == [
        ("u_bo", "broken", "calendar_lost"),
        ("u_ana", "broken", "calendar_lost"),
    ]
    assert connection(world, "u_ana", "state") == ("calendar_lost",)


def test_the_guide_has_a_sentence_for_every_reason() -> None:
    guide = GUIDE.read_text(encoding="utf-8")
    for reason in (*get_args(ReconnectReason), "calendar_lost"):
        assert f"| `broken` | `{reason}` |" in guide


def test_the_runbooks_questions_are_answered(world: World) -> None:
    world.connect("u_ana")
    break_by_push(world)
    [broken] = world.execute(example("broken", RUNBOOK).decode())
    assert broken[:2] == (world.tenant, "u_ana")
    assert broken[3:5] == ("needs_reconnect", "revoked")
    assert [row[1:] for row in world.execute(example("peaks", RUNBOOK).decode())] == [("revoked", 1)]
    assert [row[:3] for row in world.execute(example("tenants", RUNBOOK).decode())] == [(world.tenant, "revoked", 1)]


def test_the_runbook_says_of_a_key_that_it_is_lost_for_good(world: World) -> None:
    for name in ("u_ana", "u_bo", "u_cy"):
        world.connect(name)
    disconnect = {"remove_events": True}
    world.caller("u_cy").ask("POST", f"{API}/disconnect", disconnect)
    world.execute(
        "UPDATE calendar_sync.calendar_connection SET refresh_token = overlay(refresh_token PLACING 'x'::bytea FROM 3)"
        " WHERE user_id <> 'u_bo'"
    )
    world.execute(example("lost key", RUNBOOK).decode().replace("'k0'", "'xemo'"))
    assert connection(world, "u_ana", "state", "reconnect_reason") == ("needs_reconnect", "key_lost")
    assert connection(world, "u_bo", "state", "reconnect_reason") == ("active", None)
    assert connection(world, "u_cy", "state", "cannot_empty") == ("disconnecting", True)
    assert [told(world, name) for name in ("u_ana", "u_bo", "u_cy")] == [[("broken", "key_lost")], [], []]


def example(name: str, document: Path = GUIDE) -> bytes:
    """A statement that a document shows."""
    found = re.search(rf"<!-- example: {name} -->\s*```sql\n(.*?)```", document.read_text(encoding="utf-8"), re.S)
    assert found is not None
    return found[1].encode()
