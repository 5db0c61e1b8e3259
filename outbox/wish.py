"""What should stand in a calendar for a job: present if anybody who chose the calendar wants it. Pure."""

from collections.abc import Iterable
from typing import Protocol

from outbox.google.resource import event_body, event_id
from outbox.plan import Known, Wish
from outbox.rendering import Rendering


class Wisher(Protocol):
    """Somebody who has chosen the calendar."""

    def wants(self, assigned_user_ids: tuple[str, ...]) -> bool:
        """Whether a live job with these assignees should be there for him."""


def wish_for(
    job_id: str,
    rendering: Rendering | None,
    *,
    tenant_id: str,
    calendar_id: str,
    cancelled: bool,
    known: Known | None,
    wishers: Iterable[Wisher],
) -> Wish:
    """The wish for one job on one calendar.

    Args:
        rendering: of the job's newest state; None if there is no such job.
        known: what is on record, for the event id in use.
    """
    if rendering is None or rendering.event is None or cancelled:
        return Wish(None)
    if not any(wisher.wants(rendering.assigned_user_ids) for wisher in wishers):
        return Wish(None)
    chosen_id = known.event_id if known else event_id(tenant_id, calendar_id, job_id, 1)
    return Wish(event_body(rendering.event, event_id=chosen_id, tenant_id=tenant_id, job_id=job_id))
