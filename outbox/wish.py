"""What should stand in a calendar for a job: present if anybody who chose the calendar wants it. Pure."""

from collections.abc import Iterable
from typing import Protocol

from outbox.event import job_url, render
from outbox.google.resource import event_body, event_id
from outbox.payload import parse_payload_text
from outbox.plan import Known, Wish


class Wisher(Protocol):
    """Somebody who has chosen the calendar."""

    def wants(self, assigned_user_ids: tuple[str, ...]) -> bool:
        """Whether a live job with these assignees should be there for him."""


def wish_for(
    job_id: str,
    payload: str | None,
    *,
    tenant_id: str,
    calendar_id: str,
    cancelled: bool,
    known: Known | None,
    wishers: Iterable[Wisher],
    job_url_template: str,
) -> Wish:
    """The wish for one job on one calendar.

    Args:
        payload: the job's newest state as JSON text; None if there is no such job.
        known: what is on record, for the event id in use.

    Raises:
        InvalidPayload: the stored payload is no longer legal.
    """
    if payload is None or cancelled:
        return Wish(None)
    job = parse_payload_text(payload)
    if not any(wisher.wants(job.assigned_user_ids) for wisher in wishers):
        return Wish(None)
    event = render(job, job_url=job_url(job_url_template, job_id))
    if event is None:
        return Wish(None)
    chosen_id = known.event_id if known else event_id(tenant_id, calendar_id, job_id, 1)
    return Wish(event_body(event, event_id=chosen_id, tenant_id=tenant_id, job_id=job_id))
