"""What the page shows: each calendar with its coming events, in words."""

from dataclasses import dataclass
from datetime import date, datetime, timedelta
from zoneinfo import ZoneInfo

from web.sandbox.calendars import Calendars
from web.sandbox.events import Event
from web.sandbox.model import Calendar, event_key
from web.sandbox.times import Moment

SHOWN = 40
"""Events shown of one calendar, the soonest first; the rest is counted."""


@dataclass(frozen=True, slots=True)
class EventCard:
    """One event in words."""

    key: str
    etag: str
    when: str
    title: str
    location: str
    description: str


@dataclass(frozen=True, slots=True)
class CalendarCard:
    """One calendar: who sees it and with which role, its coming events, and how many more are later or past."""

    title: str
    id: str
    members: tuple[tuple[str, str], ...]
    events: tuple[EventCard, ...]
    later: int
    past: int


def agenda(calendars: Calendars, now: datetime) -> list[CalendarCard]:
    """The calendars in the order they were made, those with nothing coming up last."""
    return sorted((_card(calendar, now) for calendar in calendars), key=lambda card: not card.events)


def _card(calendar: Calendar, now: datetime) -> CalendarCard:
    live = [event for event in calendar.events.values() if not event.cancelled]
    coming = [event for event in live if event.content.end.bound(calendar.zone) > now]
    coming.sort(key=lambda event: (event.content.start.bound(calendar.zone), event.ordinal))
    return CalendarCard(
        title=calendar.summary,
        id=calendar.id,
        members=tuple((account, str(member.role)) for account, member in calendar.members.items()),
        events=tuple(_event_card(calendar, event) for event in coming[:SHOWN]),
        later=max(len(coming) - SHOWN, 0),
        past=len(live) - len(coming),
    )


def _event_card(calendar: Calendar, event: Event) -> EventCard:
    details = event.content.details
    return EventCard(
        key=event_key(calendar.id, event.id),
        etag=event.etag.strip('"'),
        when=when(event.content.start, event.content.end),
        title=details.get("summary") or "(No title)",
        location=details.get("location", ""),
        description=details.get("description", ""),
    )


def when(start: Moment, end: Moment) -> str:
    """The time of an event as a person says it, each clock time in the zone it was given in."""
    if start.day is not None and end.day is not None:
        last = end.day - timedelta(days=1)
        return _day(start.day) if last == start.day else f"{_day(start.day)} – {_day(last)}"
    if start.instant is None or end.instant is None:
        raise ValueError("both bounds of an event are of one kind")
    begins = start.instant.astimezone(ZoneInfo(start.time_zone))
    ends = end.instant.astimezone(ZoneInfo(end.time_zone))
    same_day, same_zone = begins.date() == ends.date(), begins.tzname() == ends.tzname()
    first = f"{_day(begins.date())}, {begins:%H:%M}" + ("" if same_zone else f" {begins:%Z}")
    return f"{first} – " + ("" if same_day else f"{_day(ends.date())}, ") + f"{ends:%H:%M %Z}"


def _day(day: date) -> str:
    return f"{day:%a} {day.day} {day:%b %Y}"
