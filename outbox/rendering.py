"""What a job looks like, whoever's calendar it goes to. Pure."""

import marshal
from datetime import date, datetime
from typing import NamedTuple

from outbox.event import CalendarEvent, job_url, render_at
from outbox.payload import parse_payload_text
from outbox.schedule import AllDay, Moment, Timed, ends_at, schedule

_Written = str | tuple[str, str | None]
"""A date, or a time and its zone."""


class Rendering(NamedTuple):
    """What a job's state looks like; `event` None: it is unscheduled. `ends_at`: when its event is over."""

    assigned_user_ids: tuple[str, ...]
    event: CalendarEvent | None
    ends_at: datetime | None


def rendering_of(job_id: str, payload: str, *, job_url_template: str) -> Rendering:
    """The job in JSON text as it looks.

    Raises:
        InvalidPayload: it is not legal.
    """
    job = parse_payload_text(payload)
    when = schedule(job)
    if when is None:
        return Rendering(job.assigned_user_ids, None, None)
    event = render_at(job, when, job_url=job_url(job_url_template, job_id))
    return Rendering(job.assigned_user_ids, event, ends_at(when, job))


def packed(rendering: Rendering) -> bytes:
    """The rendering in a third of its memory, for this process alone."""
    users, event, over = rendering
    if event is None or over is None:
        return marshal.dumps((users,))
    number, summary, description, location, start, end, url, text = event
    texts = number, summary, description, location, url, text
    return marshal.dumps((users, over.isoformat(), _written(start), _written(end), texts))


def unpacked(entry: bytes) -> Rendering:
    """What was packed."""
    users, *event = marshal.loads(entry)  # noqa: S302 - of our own making, and never outside of this process
    if not event:
        return Rendering(users, None, None)
    over, start, end, (number, summary, description, location, url, text) = event
    shown = CalendarEvent(number, summary, description, location, _read(start), _read(end), url, text)
    return Rendering(users, shown, datetime.fromisoformat(over))


def _written(moment: Moment) -> _Written:
    return (moment.at.isoformat(), moment.zone) if isinstance(moment, Timed) else moment.date.isoformat()


def _read(written: _Written) -> Moment:
    if isinstance(written, str):
        return AllDay(date.fromisoformat(written))
    at, zone = written
    return Timed(datetime.fromisoformat(at), zone)
