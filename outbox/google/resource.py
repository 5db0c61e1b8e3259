"""An event in the terms of Google Calendar's JSON: the fields we own, the fields the user owns, and the two merged."""

import base64
import hashlib
import json
from collections.abc import Mapping
from datetime import datetime, timedelta
from functools import lru_cache
from typing import Any

from outbox.event import CalendarEvent
from outbox.schedule import AllDay, Moment, Timed
from outbox.text import clip

SOURCE_TITLE_LIMIT = 100
"""Characters of the link's title; Google documents no limit."""

MARK = "calendarSync"
"""Private extended property that every event of ours carries, with the value "1": the one to list them by."""

TENANT_MARK = "calendarSyncTenant"
"""Private extended property: the first 16 hex digits of the SHA-256 of the tenant's key."""

JOB_MARK = "calendarSyncJob"
"""Private extended property: the job's key. (Google drops keys over 44 characters and cuts values at 1,024.)"""

_OUR_MARKS = frozenset({MARK, TENANT_MARK, JOB_MARK})

_EVENT_ID_SCHEME = "calendar-sync/1"
_EVENT_ID_BYTES = 20

_USERS_FIELDS = (
    "anyoneCanAddSelf",
    "attachments",
    "attendees",
    "attendeesOmitted",
    "colorId",
    "eventLabelId",
    "guestsCanInviteOthers",
    "guestsCanModify",
    "guestsCanSeeOtherGuests",
    "reminders",
    "transparency",
    "visibility",
)


def event_body(event: CalendarEvent, *, event_id: str, tenant_id: str, job_id: str) -> dict[str, Any]:
    """The fields we own, all of them always present (`source` only for a link that Google takes: http or https).

    `job_id` has at most 1,024 characters.
    """
    body: dict[str, Any] = {
        "id": event_id,
        "status": "confirmed",
        "summary": event.summary,
        "description": event.description,
        "location": event.location or "",
        "start": _start(event.start),
        "end": _end(event.end),
        "extendedProperties": {"private": {MARK: "1", TENANT_MARK: tenant_mark(tenant_id), JOB_MARK: job_id}},
    }
    if event.url.lower().startswith(("http://", "https://")):
        body["source"] = {"title": clip(f"Job {event.job_number}", SOURCE_TITLE_LIMIT), "url": event.url}
    return body


def for_insert(body: Mapping[str, Any]) -> dict[str, Any]:
    """The POST body: ours, and what the user may change afterwards (shown as free, no reminders)."""
    return {**body, "transparency": "transparent", "reminders": {"useDefault": False}}


def users_fields(resource: Mapping[str, Any]) -> dict[str, Any]:
    """What the user owns on an event as Google answered it, in the same places.

    A field that Google leaves out stands at Google's default; that too is the user's choice and is left out here.
    """
    owned = {name: resource[name] for name in _USERS_FIELDS if name in resource}
    properties = _object(resource.get("extendedProperties"))
    private = {key: value for key, value in _object(properties.get("private")).items() if key not in _OUR_MARKS}
    foreign = {"private": private, "shared": _object(properties.get("shared"))}
    kept = {kind: dict(pairs) for kind, pairs in foreign.items() if pairs}
    return {**owned, "extendedProperties": kept} if kept else owned


def for_update(body: Mapping[str, Any], users: Mapping[str, Any]) -> dict[str, Any]:
    """The PUT body: the user's fields as `users_fields` gave them, under ours; what neither has, Google clears."""
    theirs, ours = users.get("extendedProperties", {}), body["extendedProperties"]
    private = {**theirs.get("private", {}), **ours["private"]}
    return {**users, **body, "extendedProperties": {**theirs, "private": private}}


def content_hash(body: Mapping[str, Any]) -> bytes:
    """SHA-256 (32 bytes) of the fields we own without the id: equal if a calendar would show the same."""
    return hashlib.sha256(_canonical({name: body[name] for name in body if name != "id"})).digest()


def differing_fields(body: Mapping[str, Any], resource: Mapping[str, Any]) -> list[str]:
    """The names of our fields that an event as Google answered it does not show as we wrote them.

    Times are compared as instants, because Google may answer them in the calendar's own zone.
    """
    shown = {**resource, "location": resource.get("location", ""), "description": resource.get("description", "")}
    different = [name for name in ("status", "summary", "description", "location") if shown.get(name) != body.get(name)]
    return different + [name for name in ("start", "end") if _instant(shown.get(name)) != _instant(body.get(name))]


@lru_cache(maxsize=1024)
def event_id(tenant_id: str, calendar_id: str, job_id: str, generation: int) -> str:
    """The id we choose for a job's event in a calendar: 32 characters of base32hex, as Google wants them.

    Raising `generation` gives another id for the same job, once Google has refused the former for good.
    """
    digest = hashlib.sha256(_canonical([_EVENT_ID_SCHEME, tenant_id, calendar_id, job_id, generation])).digest()
    return base64.b32hexencode(digest[:_EVENT_ID_BYTES]).decode("ascii").lower()


@lru_cache(maxsize=1024)
def tenant_mark(tenant_id: str) -> str:
    """The tenant in an event's private extended properties: enough to tell tenants apart, without naming them."""
    return hashlib.sha256(tenant_id.encode()).hexdigest()[:16]


def _instant(value: object) -> datetime | str | None:
    """What an event's start or end says: an instant, a day, or nothing that could be read."""
    time = _object(value)
    try:
        return datetime.fromisoformat(str(time["dateTime"])) if "dateTime" in time else time.get("date")
    except ValueError:
        return None


def _object(value: object) -> Mapping[str, Any]:
    return value if isinstance(value, dict) else {}


def _start(moment: Moment) -> dict[str, str]:
    return {"date": moment.date.isoformat()} if isinstance(moment, AllDay) else _date_time(moment)


def _end(moment: Moment) -> dict[str, str]:
    # Google's last day is the first on which the event is over.
    if isinstance(moment, AllDay):
        return {"date": (moment.date + timedelta(days=1)).isoformat()}
    return _date_time(moment)


def _date_time(moment: Timed) -> dict[str, str]:
    written = {"dateTime": moment.at.isoformat(timespec="seconds")}
    return {**written, "timeZone": moment.zone} if moment.zone else written


_CANONICAL = json.JSONEncoder(sort_keys=True, separators=(",", ":"), ensure_ascii=False)


def _canonical(value: object) -> bytes:
    return _CANONICAL.encode(value).encode()
