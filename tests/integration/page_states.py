"""Every state in which a user can find the settings page, as facts to show; shared by the page's tests."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Literal

from outbox.connection_view import ConnectionView, JobProblem, LastDisconnect, LeavingCalendar, Progress
from outbox.grants import Revocation
from outbox.testpush import STEPS, Step, TestPush
from web.feed.feeds import FeedView, NewFeed
from web.operations import PickerCalendar
from web.page.notices import NOTICES, choose_notice, notice_of
from web.page.view import Facts

NOW = datetime.now(UTC).replace(microsecond=0)
CLIENT_ID = "407408718192-8kq2vd0v7bq3s1.apps.googleusercontent.com"
SCOPES = tuple(f"https://www.googleapis.com/auth/calendar.{name}" for name in ("events", "readonly"))

CALENDARS = (
    PickerCalendar("ana@example.com", "ana@example.com", primary=True, chosen=False, colleagues=False),
    PickerCalendar("jobs@group.calendar.google.com", "Jobs", primary=False, chosen=True, colleagues=False),
    PickerCalendar("team@group.calendar.google.com", "Dispatch team", primary=False, chosen=False, colleagues=True),
    PickerCalendar("x" * 60 + "@group.calendar.google.com", "W" * 90, primary=False, chosen=False, colleagues=False),
)

NOTHING = ConnectionView()
ACTIVE = ConnectionView(
    state="active",
    account_email="ana.martinez@example.com",
    calendar_id="jobs@group.calendar.google.com",
    calendar_name="Jobs",
    connected_at=NOW - timedelta(days=40),
    last_pushed_at=NOW - timedelta(minutes=2),
)
PROBLEMS = (
    JobProblem(
        "41",
        "job_8f3a",
        "J-10423",
        "Google does not take the location: it is too long.",
        NOW - timedelta(hours=3),
        NOW - timedelta(minutes=5),
    ),
    JobProblem(
        "42", "job_" + "9" * 80, None, "Google refused the event. Change the job or retry.", NOW - timedelta(days=2)
    ),
)


FEED = FeedView("assigned", NOW - timedelta(days=3), NOW - timedelta(minutes=40), "1")
NEW_FEED = NewFeed(
    FeedView("all", NOW, None, "2"),
    "https://app.example.com/calendar-feeds/kX2v9Qm4nB7rT1yW6zL0pA3sD5fG8hJcVbNxMeRuKiO.ics",
)


def rehearsal(done: int, ending: Literal["running", "failed"] = "running", detail: str | None = None) -> TestPush:
    """A test push with so many steps done; the next one, if there is one, is in the state `ending`."""
    steps = []
    for place, name in enumerate(STEPS):
        at = NOW - timedelta(seconds=9 - place)
        if place < done:
            steps.append(Step(name, "done", at))
        elif place == done:
            steps.append(Step(name, ending, None, detail))
        else:
            steps.append(Step(name, "waiting", None))
    state: Literal["running", "succeeded", "failed"] = "succeeded" if done == len(STEPS) else ending
    return TestPush("7d9f0e6a-5f6c-4f0e-8d6e-1f0f6f2b9a11", state, NOW - timedelta(seconds=9), tuple(steps))


def facts(connection: ConnectionView, **more: object) -> Facts:
    """Facts of that connection at NOW."""
    return replace(Facts(connection=connection, now=NOW, client_id=CLIENT_ID, scopes=SCOPES), **more)  # type: ignore[arg-type]


def gone(revocation: Revocation, events_left: int = 0) -> Facts:
    """What is left after a disconnect."""
    return facts(replace(NOTHING, last_disconnect=LastDisconnect(revocation, events_left)))


def failed(code: str) -> Facts:
    """Not connected, with the message of an attempt that failed."""
    notice = choose_notice(notice=None, error=code, connected=False, state="not_connected", client_id=CLIENT_ID)
    return facts(NOTHING, notice=notice, unfinished=NOW - timedelta(minutes=3))


STATES: dict[str, Facts] = {
    "not_connected": facts(NOTHING),
    "not_connected-feed": facts(NOTHING, feed=FEED),
    "not_connected-feed-new": facts(NOTHING, new_feed=NEW_FEED),
    "active-feed-new": facts(ACTIVE, new_feed=NEW_FEED),
    "not_connected-unfinished": facts(NOTHING, unfinished=NOW - timedelta(minutes=3)),
    "not_connected-blocked": failed("blocked_by_admin"),
    "not_connected-denied": failed("access_denied"),
    "disconnected-revoked": gone(Revocation.REVOKED),
    "disconnected-shared": gone(Revocation.SHARED, 12),
    "disconnected-dead": gone(Revocation.DEAD, 1),
    "disconnected-unanswered": gone(Revocation.UNANSWERED, 184),
    "choose_calendar": facts(
        replace(ACTIVE, state="choose_calendar", calendar_id=None, calendar_name=None, last_pushed_at=None),
        calendars=[replace(calendar, chosen=False) for calendar in CALENDARS],
        notice=choose_notice(notice=None, error=None, connected=True, state="choose_calendar", client_id=CLIENT_ID),
    ),
    "choose_calendar-leaving": facts(
        replace(
            ACTIVE, state="choose_calendar", calendar_id=None, calendar_name=None, leaving=(LeavingCalendar("Old", 12),)
        ),
        calendars=CALENDARS[:1],
    ),
    "choose_calendar-google_down": facts(
        replace(ACTIVE, state="choose_calendar", calendar_id=None, calendar_name=None, last_pushed_at=None),
        calendars="Google does not answer right now. Nothing was changed. Try again in a moment.",
    ),
    "choose_calendar-none": facts(
        replace(ACTIVE, state="choose_calendar", calendar_id=None, calendar_name=None, last_pushed_at=None),
        calendars=[],
    ),
    "active": facts(ACTIVE),
    "active-new": facts(replace(ACTIVE, last_pushed_at=None, connected_at=NOW)),
    "active-pending": facts(replace(ACTIVE, pending=3), notice=NOTICES["calendar_chosen"]),
    "active-resting": facts(
        replace(ACTIVE, pending=1200, resting_until=NOW + timedelta(minutes=9), resting_reason="limit")
    ),
    "active-resting_for_us": facts(
        replace(ACTIVE, pending=2, resting_until=NOW + timedelta(minutes=4), resting_reason="ours")
    ),
    "active-problems": facts(
        replace(ACTIVE, problems=5),
        problems=PROBLEMS,
        notice=NOTICES["too_many_requests"],
        job_url_template="https://app.example.com/jobs/{job_id}",
    ),
    "active-filling": facts(replace(ACTIVE, pending=231, filling=Progress(184, 412))),
    "active-emptying": facts(
        replace(ACTIVE, leaving=(LeavingCalendar("Dispatch", 56, 87), LeavingCalendar("Team", 3, 4, shared=True)))
    ),
    "active-leaving": facts(replace(ACTIVE, pending=1, leaving=(LeavingCalendar("Jobs of last year", 12),))),
    "active-picker": facts(ACTIVE, calendars=CALENDARS),
    "active-picker-google_down": facts(ACTIVE, calendars="Google does not answer right now. Try again in a moment."),
    "active-test-running": facts(ACTIVE, test_push=rehearsal(2)),
    "active-test-slow": facts(ACTIVE, test_push=rehearsal(1, detail="The sync service has not taken it up yet.")),
    "active-test-succeeded": facts(ACTIVE, test_push=rehearsal(6)),
    "active-test-failed": facts(
        ACTIVE, test_push=rehearsal(3, "failed", "Google refused to write to the calendar: you may only read it.")
    ),
    "paused": facts(replace(ACTIVE, state="paused", paused=True, pending=14, job_filter="assigned")),
    "needs_reconnect-revoked": facts(
        replace(ACTIVE, state="needs_reconnect", reconnect_reason="revoked", pending=7),
        unfinished=NOW - timedelta(minutes=9),
    ),
    "needs_reconnect-missing_scope": facts(replace(ACTIVE, state="needs_reconnect", reconnect_reason="missing_scope")),
    "needs_reconnect-blocked_by_admin": facts(
        replace(ACTIVE, state="needs_reconnect", reconnect_reason="blocked_by_admin", pending=1)
    ),
    "needs_reconnect-key_lost": facts(replace(ACTIVE, state="needs_reconnect", reconnect_reason="key_lost")),
    "calendar_lost": facts(replace(ACTIVE, state="calendar_lost", pending=2), calendars=CALENDARS[:3]),
    "active-shared": facts(ACTIVE, colleague=True, notice=notice_of("resync_started", "active")),
    "paused-problems": facts(
        replace(ACTIVE, state="paused", paused=True, problems=2),
        problems=PROBLEMS,
        notice=notice_of("retrying", "paused"),
    ),
    "needs_reconnect-shared": facts(replace(ACTIVE, state="needs_reconnect", paused=True), colleague=True),
    "disconnected-shared_calendar": replace(
        gone(Revocation.REVOKED), notice=notice_of("left_to_colleague", "not_connected")
    ),
    "disconnecting-shared": facts(
        replace(ACTIVE, state="disconnecting", pending=3, leaving=(LeavingCalendar("Jobs", 3, 9, shared=True),)),
        colleague=True,
        notice=notice_of("left_to_colleague", "disconnecting"),
    ),
    "disconnecting": facts(
        replace(
            ACTIVE,
            state="disconnecting",
            pending=41,
            leaving=(LeavingCalendar("Jobs", 41, 184), LeavingCalendar("Old", 2, 2)),
        )
    ),
}
"""By a name that says the state and what is special."""
