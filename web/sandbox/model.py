"""Calendars, who may do what on them, and how Google prints them and their events."""

import base64
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from zoneinfo import ZoneInfo

from web.sandbox.events import DEFAULT_REMINDERS, Event, Resource, etag
from web.sandbox.times import rfc3339

HTML_LINK_BASE = "https://www.google.com/calendar/event?eid="
"""Where an event's page is at Google; the key of the event follows."""


class Role(StrEnum):
    """Access to a calendar, from least to most."""

    FREE_BUSY_READER = "freeBusyReader"
    READER = "reader"
    WRITER_WITHOUT_PRIVATE_ACCESS = "writerWithoutPrivateAccess"
    WRITER = "writer"
    OWNER = "owner"

    def allows(self, needed: "Role") -> bool:
        """Whether this role includes everything `needed` can do."""
        ranks = list(Role)
        return ranks.index(self) >= ranks.index(needed)


@dataclass(frozen=True, slots=True)
class Member:
    """One account's place on a calendar: its role and its own entry in the calendar list."""

    role: Role
    version: int
    hidden: bool = False
    summary_override: str = ""


@dataclass(slots=True)
class Calendar:
    """A calendar with its members (by account) and its events (by id, tombstones included)."""

    id: str
    summary: str
    zone: ZoneInfo
    ordinal: int
    data_owner: str = ""
    version: int = 0
    members: dict[str, Member] = field(default_factory=dict)
    events: dict[str, Event] = field(default_factory=dict)

    @property
    def etag(self) -> str:
        """Changes with every write to the calendar or its events."""
        return etag(self.version)


def event_key(calendar_id: str, event_id: str) -> str:
    """The opaque key of an event in links: unpadded base64url of both ids."""
    return base64.urlsafe_b64encode(f"{event_id} {calendar_id}".encode()).decode().rstrip("=")


def writable(event: Event, account: str, zone: ZoneInfo) -> Resource:
    """The fields of an event that `account` may write, in Google's form."""
    content = event.content
    details = dict(content.details)
    if account != event.creator:
        details.pop("source", None)
    return {
        **details,
        "status": str(content.status),
        "start": content.start.resource(zone),
        "end": content.end.resource(zone),
        "reminders": dict(event.reminders.get(account, DEFAULT_REMINDERS)),
    }


def event_resource(
    calendar: Calendar, event: Event, account: str, zone: ZoneInfo, link_base: str = HTML_LINK_BASE
) -> Resource:
    """An event as `account` sees it, its times printed with the offset of `zone`.

    Below writer access a private event shows its times and nothing else, as every event does to a free/busy reader.
    """
    role = calendar.members[account].role
    head: Resource = {"kind": "calendar#event", "etag": event.etag, "id": event.id}
    if not role.allows(Role.READER) or (event.content.is_private and not role.allows(Role.WRITER)):
        start, end = event.content.start.resource(zone), event.content.end.resource(zone)
        status = str(event.content.status)
        return {**head, "status": status, "start": start, "end": end, "visibility": "private"}
    organizer: Resource = {"email": calendar.id, "self": True}
    if calendar.summary != calendar.id:
        organizer["displayName"] = calendar.summary
    return {
        **head,
        "htmlLink": link_base + event_key(calendar.id, event.id),
        "created": rfc3339(event.created),
        "updated": rfc3339(event.updated, "milliseconds"),
        "creator": {"email": event.creator, **({"self": True} if event.creator == account else {})},
        "organizer": organizer,
        "iCalUID": event.ical_uid,
        "sequence": event.sequence,
        "eventType": "default",
        **writable(event, account, zone),
    }


def list_entry(calendar: Calendar, account: str) -> Resource:
    """The calendar's entry in the calendar list of `account`."""
    member = calendar.members[account]
    optional: Mapping[str, object] = {
        "summaryOverride": member.summary_override,
        "hidden": member.hidden,
        "primary": calendar.id == account,
        "selected": not member.hidden,
        "dataOwner": calendar.data_owner if calendar.data_owner != calendar.id else "",
    }
    return {
        "kind": "calendar#calendarListEntry",
        "etag": etag(member.version),
        "id": calendar.id,
        "summary": calendar.summary,
        "timeZone": calendar.zone.key,
        "accessRole": str(member.role),
        "defaultReminders": [{"method": "popup", "minutes": 30}] if calendar.id == account else [],
        "conferenceProperties": {"allowedConferenceSolutionTypes": ["hangoutsMeet"]},
        **{name: value for name, value in optional.items() if value},
    }


def calendar_resource(calendar: Calendar) -> Resource:
    """The calendar itself, as calendars.get answers it."""
    return {
        "kind": "calendar#calendar",
        "etag": calendar.etag,
        "id": calendar.id,
        "summary": calendar.summary,
        "timeZone": calendar.zone.key,
    }
