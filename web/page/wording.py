"""The page's sentences about counts and moments. Pure."""

from collections.abc import Sequence
from datetime import UTC, datetime


def counted(number: int, one: str, many: str) -> str:
    """ "1 change", "3 changes", "12,000 changes"."""
    return f"{number:,} {one if number == 1 else many}"


def waiting(number: int) -> str:
    """How much has not reached the calendar yet, as a sentence."""
    if number == 0:
        return "Nothing is waiting."
    return f"{counted(number, 'change is', 'changes are')} waiting."


def still_delivered(number: int, *, paused: bool) -> str:
    """What becomes of changes that cannot be pushed at the moment; `paused`: nor when the connection works again."""
    when = "once you have resumed syncing too" if paused else "then"
    if number == 0:
        return f"Nothing is lost: whatever changes in the meantime is delivered {when}."
    return f"Nothing is lost: {counted(number, 'change is', 'changes are')} waiting and will be delivered {when}."


def jobs_done(done: int, total: int, calendar: str) -> str:
    """How far the filling of a calendar has come."""
    return f"{done:,} of {counted(total, 'job is', 'jobs are')} up to date in “{calendar}”."


def events_to_go(number: int, calendar: str, *, shared: bool) -> str:
    """What becomes of a former calendar; `shared`: a colleague stays there."""
    events = counted(number, "event", "events")
    if shared:
        return f"“{calendar}” with {events}: what only you wanted there is removed when the new calendar is filled."
    return f"“{calendar}” with {events} is emptied when the new calendar is filled."


def events_gone(done: int, total: int, calendar: str, *, shared: bool) -> str:
    """How far the emptying of a calendar has come; `shared`: in it only some of the events are to go."""
    events = f"{done:,} of {counted(total, 'event', 'events')}"
    return f"{events} looked at in “{calendar}”." if shared else f"{events} removed from “{calendar}”."


def moment(time: datetime) -> str:
    """A date and time for readers without JavaScript, e.g. "22 Nov 2026, 14:05 UTC"."""
    return f"{time.astimezone(UTC):%-d %b %Y, %H:%M} UTC"


def clock(time: datetime) -> str:
    """A time of day for readers without JavaScript, e.g. "14:05 UTC"."""
    return f"{time.astimezone(UTC):%H:%M} UTC"


def clock_seconds(time: datetime) -> str:
    """A time of day to the second, e.g. "14:05:09 UTC"."""
    return f"{time.astimezone(UTC):%H:%M:%S} UTC"


def machine(time: datetime) -> str:
    """The value of a `datetime` attribute: RFC 3339 in UTC, to the second."""
    return f"{time.astimezone(UTC):%Y-%m-%dT%H:%M:%SZ}"


def joined(sentences: Sequence[str]) -> str:
    """Sentences as one paragraph."""
    return " ".join(sentence for sentence in sentences if sentence)
