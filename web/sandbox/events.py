"""An event as it is held, and what an edit makes of it."""

import base64
import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from enum import StrEnum
from types import MappingProxyType
from typing import Any

from web.sandbox.errors import invalid
from web.sandbox.times import Moment

Resource = dict[str, Any]
"""A JSON object of Google's API."""

DEFAULT_REMINDERS: Mapping[str, Any] = MappingProxyType({"useDefault": True})
"""The reminders of a user who set none on the event."""


class Status(StrEnum):
    """`cancelled` is what deletion leaves behind."""

    CONFIRMED = "confirmed"
    TENTATIVE = "tentative"
    CANCELLED = "cancelled"


@dataclass(frozen=True, slots=True)
class Content:
    """What a write says about an event, apart from the writer's own reminders."""

    status: Status
    start: Moment
    end: Moment
    details: Mapping[str, Any]

    @property
    def is_private(self) -> bool:
        """Hidden from the readers of a shared calendar."""
        return self.details.get("visibility") in {"private", "confidential"}


@dataclass(frozen=True, slots=True)
class Write:
    """A checked request body: the content, the caller's reminders (None: defaults), the sequence if it names one."""

    content: Content
    reminders: Resource | None
    sequence: int | None


@dataclass(frozen=True, slots=True)
class Event:
    """An event as it is held. `version` makes the etag; `ordinal` is its place in the calendar's order of creation."""

    id: str
    ical_uid: str
    ordinal: int
    creator: str
    created: datetime
    updated: datetime
    version: int
    sequence: int
    content: Content
    reminders: Mapping[str, Resource] = field(default_factory=dict)

    @property
    def etag(self) -> str:
        """The quoted entity tag."""
        return etag(self.version)

    @property
    def cancelled(self) -> bool:
        """Deleted, yet still readable by id."""
        return self.content.status is Status.CANCELLED


def etag(version: int) -> str:
    """The entity tag of a version, in Google's form: sixteen digits in double quotes."""
    return f'"{3_000_000_000_000_000 + version * 2000}"'


def made_id(calendar_id: str, ordinal: int) -> str:
    """The id of an event whose writer chose none."""
    digest = hashlib.sha256(f"{calendar_id} {ordinal}".encode()).digest()
    return base64.b32hexencode(digest).decode().lower()[:26]


def rewritten(event: Event, write: Write, account: str, now: datetime, version: int) -> Event:
    """The event after `account` replaced its content; it takes `now` and `version` unless only reminders changed.

    Raises 400 for a sequence below the one that is held.
    """
    if write.sequence is not None and write.sequence < event.sequence:
        raise invalid(
            "Invalid sequence value. The specified sequence number is below the current sequence number of the "
            "resource. Re-fetch the resource and use its sequence number on the following request."
        )
    content = write.content if account == event.creator else _with_source_of(event, write.content)
    sequence = max(write.sequence or 0, event.sequence + _is_rescheduled(event.content, content))
    reminders = {user: kept for user, kept in event.reminders.items() if user != account}
    if write.reminders:
        reminders[account] = write.reminders
    if reminders != event.reminders and content == event.content and sequence == event.sequence:
        return replace(event, reminders=reminders)
    return replace(event, content=content, sequence=sequence, reminders=reminders, updated=now, version=version)


def deleted(event: Event, now: datetime, version: int) -> Event:
    """The tombstone of the event: it keeps its details, so that it can be restored."""
    content = replace(event.content, status=Status.CANCELLED)
    return replace(event, content=content, sequence=event.sequence + 1, updated=now, version=version)


def _with_source_of(event: Event, content: Content) -> Content:
    """Only its creator may change the `source` of an event; what others send is ignored."""
    details = {name: value for name, value in content.details.items() if name != "source"}
    if "source" in event.content.details:
        details["source"] = event.content.details["source"]
    return replace(content, details=details)


def _is_rescheduled(before: Content, after: Content) -> bool:
    """Changes that raise the iCalendar sequence."""
    return (before.start, before.end, before.status, before.details.get("recurrence")) != (
        after.start,
        after.end,
        after.status,
        after.details.get("recurrence"),
    )
