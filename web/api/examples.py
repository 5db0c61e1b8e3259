"""What the description shows for each answer; real bodies, so that they cannot part from their models."""

from datetime import UTC, datetime

from outbox.grants import Revocation
from web.api.bodies import (
    Calendar,
    Calendars,
    Connection,
    Departure,
    Disconnected,
    Leaving,
    Problem,
    Problems,
    Progress,
    Resynced,
    TestPushReport,
    TestPushStep,
)
from web.api.feed_bodies import Feed, NewFeed

_NOON = datetime(2026, 12, 1, 12, 0, tzinfo=UTC)
_SCOPES = ["https://www.googleapis.com/auth/calendar.events", "https://www.googleapis.com/auth/calendar.readonly"]

CONNECTION = Connection(
    connected=True,
    state="active",
    account_email="ana@example.com",
    calendar_id="dispatch@group.calendar.google.com",
    calendar_name="Dispatch",
    scopes=_SCOPES,
    connected_at=_NOON,
    last_pushed_at=_NOON,
    pending=228,
    problems=1,
    filling=Progress(done=184, total=412),
    reconnect_reason=None,
    job_filter="all",
    paused=False,
    resting_until=None,
    resting_reason=None,
    leaving=[Leaving(name="Jobs of last year", events=87, progress=None, shared=False)],
    last_disconnect=None,
)

DEPARTURE = Departure(authorize_url="https://accounts.google.com/o/oauth2/v2/auth?response_type=code&client_id=1234")

CALENDARS = Calendars(
    calendars=[
        Calendar(id="ana@example.com", name="ana@example.com", primary=True, chosen=False, colleagues=False),
        Calendar(id="dispatch@group.calendar.google.com", name="Dispatch", primary=False, chosen=True, colleagues=True),
    ]
)

DISCONNECTED = Disconnected(state="not_connected", revocation=Revocation.REVOKED)

TEST_PUSH = TestPushReport(
    id="0b8f3a52-6c1e-4d37-9a54-2f7d1c9be610",
    state="running",
    requested_at=_NOON,
    steps=[
        TestPushStep(name="queued", state="done", at=_NOON, detail=None),
        TestPushStep(name="picked_up", state="done", at=_NOON, detail=None),
        TestPushStep(name="access", state="running", at=None, detail=None),
        TestPushStep(name="written", state="waiting", at=None, detail=None),
        TestPushStep(name="read_back", state="waiting", at=None, detail=None),
        TestPushStep(name="removed", state="waiting", at=None, detail=None),
    ],
)

RESYNCED = Resynced(marked=184)

PROBLEMS = Problems(
    problems=[
        Problem(
            id="40127",
            job_id="job_8f3a",
            job_number="J-10423",
            reason="Google does not accept a value in this event. Check the job's times, addresses and texts. "
            "(Google: invalid, Invalid resource id value)",
            since=_NOON,
            last_tried_at=_NOON,
        )
    ]
)

FEED = Feed(exists=True, job_filter="all", created_at=_NOON, last_fetched_at=_NOON)

NEW_FEED = NewFeed(
    url="https://app.example.com/calendar-feeds/kX2v9Qm4nB7rT1yW6zL0pA3sD5fG8hJcVbNxMeRuKiO.ics",
    webcal_url="webcal://app.example.com/calendar-feeds/kX2v9Qm4nB7rT1yW6zL0pA3sD5fG8hJcVbNxMeRuKiO.ics",
    job_filter="all",
    created_at=_NOON,
)
