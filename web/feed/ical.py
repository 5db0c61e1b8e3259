"""A feed's text: jobs as iCalendar (RFC 5545 and 7986), made by the `icalendar` library. Pure.

The same jobs give the same bytes: nothing in it is made of the moment at which it is read, so an ETag can stand for it.
"""

import json
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from urllib.parse import quote
from uuid import UUID, uuid5

from icalendar import Calendar, Timezone, TimezoneStandard
from icalendar.parser import Contentline
from icalendar.prop import vDate, vDatetime, vText

from outbox.event import job_url, render
from outbox.payload import parse_payload_text
from outbox.schedule import AllDay, Moment

MAX_BYTES = 1_000_000
"""A feed has fewer: Google is said not to read more than about a megabyte."""

LINE_BYTES = 75
"""From this length on a line is folded (RFC 5545, 3.1)."""

NAME = "Jobs"
"""What a calendar app calls the calendar, until its user names it."""

REFRESH = timedelta(hours=1)
"""How often we would like to be asked. Google does not listen, others do."""

_UIDS = UUID("6b1f5f0e-1c86-4c55-9a8e-2d6a9d1c3e77")
"""The namespace of our UIDs; it never changes, or every event would be another one."""

_ESCAPED = str.maketrans({"\\": r"\\", ";": r"\;", ",": r"\,", "\n": r"\n"})
"""What means something in a value is marked as text (RFC 5545, 3.3.11). The library takes a backslash before a capital
N for a line break."""

_URI = "!#$%&'()*+,/:;=?@[]~"
"""What a link may hold besides letters, digits and -._ (RFC 3986)."""


@dataclass(frozen=True, slots=True)
class FeedJob:
    """A job as a feed shows it: its last state as JSON text, of a cancelled one that before."""

    job_id: str
    cancelled: bool
    revision: int
    updated_at: datetime
    payload: str


def uid(tenant_id: str, job_id: str) -> str:
    """What calendar apps know the job's event by: the same in every feed, and nobody's name."""
    return str(uuid5(_UIDS, json.dumps([tenant_id, job_id])))


def event(job: FeedJob, *, tenant_id: str, job_url_template: str | None) -> bytes:
    """The job's VEVENT, with what its event in a Google calendar says; empty if the job is unscheduled.

    Raises:
        InvalidPayload: the stored payload is no longer legal.
    """
    url = "" if job_url_template is None else quote(job_url(job_url_template, job.job_id), safe=_URI)
    shown = render(parse_payload_text(job.payload), job_url=url)
    if shown is None:
        return b""
    changed = _time(job.updated_at)
    # Line by line, of the library's values and with its folding: its components take three times as long.
    lines = [
        "BEGIN:VEVENT",
        f"UID:{uid(tenant_id, job.job_id)}",
        # Without a METHOD both say when the job was last changed.
        f"DTSTAMP:{changed}",
        f"LAST-MODIFIED:{changed}",
        f"SEQUENCE:{job.revision}",
        f"DTSTART{_starts(shown.start)}",
        f"DTEND{_ends(shown.end)}",
        f"SUMMARY:{_text(shown.summary)}",
        f"DESCRIPTION:{_text(description)}" if (description := _joined(shown.text, url)) else "",
        f"LOCATION:{_text(shown.location)}" if shown.location else "",
        f"URL:{url}" if url else "",
        f"STATUS:{'CANCELLED' if job.cancelled else 'CONFIRMED'}",
        # As in a Google calendar: a job takes nobody's own time.
        "TRANSP:TRANSPARENT",
        "END:VEVENT",
    ]
    return b"".join(_line(line) for line in lines if line)


def calendar(events: Iterable[bytes]) -> bytes:
    """The whole feed, of as many of these as it can hold, the first ones."""
    head, end, tail = _frame().to_ical().partition(b"END:VCALENDAR")
    parts, size = [head], len(head) + len(end) + len(tail)
    for made in events:
        size += len(made)
        if size >= MAX_BYTES:
            break
        parts.append(made)
    if not any(parts[1:]):
        parts.append(_filler())
    return b"".join([*parts, end, tail])


def _frame() -> Calendar:
    """The calendar without events."""
    frame = Calendar()
    frame.add("prodid", "-//Google Calendar Sync//Jobs//EN")
    frame.add("version", "2.0")
    frame.add("calscale", "GREGORIAN")
    frame.add("name", NAME)
    frame.add("x-wr-calname", NAME)
    frame.add("refresh-interval", REFRESH, parameters={"VALUE": "DURATION"})
    frame.add("x-published-ttl", vText("PT1H"))
    return frame


def _filler() -> bytes:
    """What an empty feed holds, because a calendar has to hold something (RFC 5545, 3.6): the time zone UTC."""
    standard = TimezoneStandard()
    standard.add("dtstart", datetime(1970, 1, 1))  # noqa: DTZ001 - a zone's own local time
    standard.add("tzoffsetfrom", timedelta())
    standard.add("tzoffsetto", timedelta())
    zone = Timezone()
    zone.add("tzid", "UTC")
    zone.add_component(standard)
    return bytes(zone.to_ical())


def _line(line: str) -> bytes:
    """The line as it is sent, folded if it is long."""
    encoded = line.encode()
    if len(encoded) >= LINE_BYTES:
        encoded = Contentline(line).to_ical()  # type: ignore[no-untyped-call]
    return encoded + b"\r\n"


def _starts(moment: Moment) -> str:
    return f";VALUE=DATE:{_day(moment.date)}" if isinstance(moment, AllDay) else f":{_time(moment.at)}"


def _ends(moment: Moment) -> str:
    # The last day is the first on which the event is over.
    return (
        f";VALUE=DATE:{_day(moment.date + timedelta(days=1))}" if isinstance(moment, AllDay) else f":{_time(moment.at)}"
    )


def _time(time: datetime) -> str:
    """In UTC, so that no time zone has to be described."""
    return _value(vDatetime(time.astimezone(UTC)))


def _day(day: date) -> str:
    return _value(vDate(day))


def _text(text: str) -> str:
    return text.translate(_ESCAPED)


def _value(value: vDatetime | vDate) -> str:
    return bytes(value.to_ical()).decode()  # type: ignore[no-untyped-call]


def _joined(*paragraphs: str) -> str:
    return "\n\n".join(filter(None, paragraphs))
