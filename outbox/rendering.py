"""What a job looks like, whoever's calendar it goes to. Pure."""

from datetime import datetime
from typing import NamedTuple

from outbox.event import CalendarEvent, job_url, render_at
from outbox.payload import parse_payload_text
from outbox.schedule import ends_at, schedule


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
