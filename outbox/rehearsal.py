"""A test push as the holder of the lane carries it out: write an event, read it back, remove it; tell each step."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from outbox.access import Access
from outbox.batching import BatchSizes
from outbox.budget import Ration
from outbox.connections import TEST_ABANDONED
from outbox.dialogue import Dialogue, Spoken, Topic, Unspoken
from outbox.event import CalendarEvent
from outbox.google.client import GoogleCalendar
from outbox.google.meaning import Meaning
from outbox.google.resource import content_hash, differing_fields, event_body
from outbox.lane import DueJob, Intent, LaneConnection, Lease, Settlement, Standing, Undone
from outbox.lane_store import LaneStore
from outbox.plan import Gone, Impossible, Known, Outcome, Stands, TryLater, Wish
from outbox.schedule import Timed
from outbox.speakers import Speakers
from outbox.testpush import JOB_PREFIX, TOO_LATE_SECONDS
from outbox.trouble import Broken, Resting, RestReason, Trouble

_LENGTH = timedelta(minutes=15)

_CLEAR_AWAY_SECONDS = 5.0
"""After a test that failed halfway: until the lane's next holder looks for what may stand there, and removes it."""

_TOO_LATE = "Nobody took it up in time, so nothing was written. Start another test."
_OUR_FAULT = "This failed through a fault of calendar-sync. Tell your administrator."
_RESTS = "This account rests for a while, so nothing was written; the status above says why. Try again later."
_BY_REST: dict[RestReason, str] = {
    "limit": "Google asked us to wait with this account. Try again in a few minutes.",
    "no_calendar": "Google says that Google Calendar is switched off for this account. Ask whoever administers it.",
    "no_answer": "Google does not answer at the moment. Try again in a few minutes.",
    "ours": "Google does not accept this installation. Tell your administrator.",
}


def is_test(due: DueJob) -> bool:
    """Whether this mark is a test push and no job."""
    return not due.job_exists and due.job_id.startswith(JOB_PREFIX)


@dataclass(frozen=True, slots=True)
class Rehearsal:
    """The test pushes of one push of one lane, each through the connection of the user who asked for it.

    Args:
        out_of_time: whether no further call may start.
    """

    lease: Lease
    store: LaneStore
    access: Access
    calendar: GoogleCalendar
    connections: Sequence[LaneConnection]
    ration: Ration
    out_of_time: Callable[[], bool]

    def carry_out(self, due: DueJob, known: Known, settlement: Settlement) -> bool:
        """Do what is left of a test, and settle it; False if it is over, and only its event has to be gone.

        Whatever ends it early leaves the pair in doubt, so that the next holder of the lane removes what may be there.
        """
        test = self.store.take_test_push(self.lease, due.job_id)
        if test is None or test.over:
            return False
        if test.age_seconds > TOO_LATE_SECONDS:
            self._fail(due, _TOO_LATE)
            return False
        mine = [connection for connection in self.connections if connection.user_id == test.user_id]
        if not any(connection.may_push and not connection.emptying for connection in mine):
            self._fail(due, TEST_ABANDONED)
            return False
        speakers = Speakers(self.access, self.lease, mine)
        if speakers.current() is None:
            self._fail(due, _sentence(speakers.last_trouble))
            return False
        self._record(due, "access")
        self.store.begin(self.lease, [Intent(due, known.event_id, known.id_generation, present=True)])
        dialogue = Dialogue(
            self.lease,
            self.store,
            self.calendar,
            speakers,
            ration=self.ration,
            sizes=BatchSizes(),
            out_of_time=self.out_of_time,
        )
        body = _body(self.lease, due, known, test.requested_at)
        failure = self._steps(due, known, body, dialogue, settlement)
        if failure is None:
            return True
        if speakers.last_trouble is not None:
            failure = _sentence(speakers.last_trouble)
        if failure:
            self._fail(due, failure)
        wait = _CLEAR_AWAY_SECONDS if failure else self.ration.wait
        settlement.undone.append(Undone(due, wait, None, charged=False))
        return True

    def give_up(self, due: DueJob, settlement: Settlement) -> None:
        """After a fault of our own."""
        self._fail(due, _OUR_FAULT)
        settlement.undone.append(Undone(due, _CLEAR_AWAY_SECONDS, None, charged=False))

    def _steps(
        self, due: DueJob, known: Known, body: dict[str, Any], dialogue: Dialogue, settlement: Settlement
    ) -> str | None:
        """Write, read back, remove; None if all went well, "" if there was no time or quota, else what went wrong."""
        written = dialogue.talk(Topic(due, Wish(body), known), lone=False)
        if isinstance(written, Unspoken) or not isinstance(written.outcome, Stands):
            return _what_went_wrong(written)
        self._record(due, "written")
        known = written.conversation.known
        seen = dialogue.look(known.event_id)
        if seen is None:
            return ""
        if seen.meaning is not Meaning.DONE or seen.resource is None:
            return f"Google took the event, but did not show it again: {seen.message}"
        if different := differing_fields(written.conversation.wish.body or body, seen.resource):
            return f"Google does not show the event as it was written: {', '.join(different)}."
        self._record(due, "read_back")
        standing = Known(
            known.event_id,
            known.id_generation,
            etag=str(seen.resource["etag"]),
            content_hash=content_hash(body),
            ever_confirmed=True,
        )
        removed = dialogue.talk(Topic(due, Wish(None), standing), lone=False)
        if isinstance(removed, Unspoken) or not isinstance(removed.outcome, Gone):
            return _what_went_wrong(removed)
        self._record(due, "removed")
        settlement.standing.append(Standing(due.job_id, None, None, removed.speaker.connection.connection_id))
        settlement.done.append(due)
        return None

    def _record(self, due: DueJob, step: str) -> None:
        self.store.record_test_step(self.lease, due.job_id, step=step, failure=None)

    def _fail(self, due: DueJob, failure: str) -> None:
        self.store.record_test_step(self.lease, due.job_id, step=None, failure=failure)


def _body(lease: Lease, due: DueJob, known: Known, requested_at: datetime) -> dict[str, Any]:
    start = requested_at.astimezone(UTC).replace(microsecond=0)
    event = CalendarEvent(
        job_number="",
        summary="Test by Google Calendar Sync, removed in a moment",
        description="This event shows that your jobs can be written to this calendar. It goes away by itself.",
        location=None,
        start=Timed(start, "UTC"),
        end=Timed(start + _LENGTH, "UTC"),
        url="",
    )
    return event_body(event, event_id=known.event_id, tenant_id=lease.tenant_id, job_id=due.job_id)


def _what_went_wrong(spoken: Spoken | Unspoken) -> str:
    """For the user; "" if nothing did, and there was only no time."""
    outcome: Outcome | None = spoken.outcome if isinstance(spoken, Spoken) else None
    match outcome:
        case Impossible(reason):
            return reason
        case TryLater(reason):
            return f"Google did not give a clear answer: {reason}"
        case _:
            return ""


def _sentence(trouble: Trouble | None) -> str:
    match trouble:
        case Broken(state="calendar_lost"):
            return "The calendar is gone, or you may no longer change it. Choose another one."
        case Broken(reconnect_reason="missing_scope"):
            return "Google says that a permission is missing. Reconnect and tick all boxes."
        case Broken():
            return "Google no longer accepts our access. Reconnect your account."
        case Resting():
            return _BY_REST[trouble.why]
        case None:
            return _RESTS
