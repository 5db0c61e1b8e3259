"""Request bodies of events, checked as Google checks them, and the merge a PATCH makes."""

import re
from collections.abc import Mapping
from typing import Any
from zoneinfo import ZoneInfo

from web.sandbox.errors import ApiError, invalid, required, time_range_empty
from web.sandbox.events import Content, Resource, Status, Write
from web.sandbox.times import parse_moment

_ID = re.compile(r"[a-v0-9]{5,1024}")
_PROPERTY_KEY_LIMIT = 44
_PROPERTY_VALUE_LIMIT = 1024
_PROPERTY_COUNT_LIMIT = 300
_PROPERTY_BYTES_LIMIT = 32 * 1024
_REMINDER_LIMIT = 5
_REMINDER_MINUTES_LIMIT = 40_320

_DETAILS: Mapping[str, type] = {
    "anyoneCanAddSelf": bool,
    "attachments": list,
    "attendees": list,
    "colorId": str,
    "description": str,
    "eventType": str,
    "extendedProperties": dict,
    "guestsCanInviteOthers": bool,
    "guestsCanModify": bool,
    "guestsCanSeeOtherGuests": bool,
    "location": str,
    "recurrence": list,
    "source": dict,
    "summary": str,
    "transparency": str,
    "visibility": str,
}
"""The writable fields that are kept as given. What is neither here nor read below is read-only or unknown: ignored."""

_DEFAULTS: Mapping[str, Any] = {
    "anyoneCanAddSelf": False,
    "attachments": [],
    "attendees": [],
    "colorId": "",
    "guestsCanInviteOthers": True,
    "guestsCanModify": False,
    "guestsCanSeeOtherGuests": True,
    "recurrence": [],
    "transparency": "opaque",
    "visibility": "default",
}
"""Values Google does not print: the field is simply absent."""

_CHOICES: Mapping[str, frozenset[str]] = {
    "colorId": frozenset(["", *map(str, range(1, 12))]),
    "eventType": frozenset({"default"}),
    "transparency": frozenset({"opaque", "transparent"}),
    "visibility": frozenset({"default", "public", "private", "confidential"}),
}


def check_id(body: Resource) -> str:
    """The id chosen by the caller, empty where none was; 400 for an illegal one and for one sent beside an iCalUID."""
    chosen = body.get("id") or ""
    if chosen and (not isinstance(chosen, str) or not _ID.fullmatch(chosen) or body.get("iCalUID")):
        raise invalid("Invalid resource id value.")
    return str(chosen)


def parse_write(body: Resource, zone: ZoneInfo) -> Write:
    """A whole event (the body of an insert or update, or a merged patch) for a calendar kept in `zone`.

    Raises ApiError 400 as Google would.
    """
    start, end = parse_moment(body.get("start"), "start", zone), parse_moment(body.get("end"), "end", zone)
    if (start.day is None) != (end.day is None):
        raise invalid("The start and end times must either both be date or both be dateTime.")
    if end.bound(zone) <= start.bound(zone):
        raise time_range_empty()
    sequence = body.get("sequence")
    if sequence is not None and (not isinstance(sequence, int) or isinstance(sequence, bool) or sequence < 0):
        raise invalid("Invalid value for: sequence.")
    try:
        status = Status(body.get("status") or Status.CONFIRMED)
    except ValueError as error:
        raise invalid(f"Invalid value for: {body['status']} is not a valid value") from error
    return Write(Content(status, start, end, _details(body)), _reminders(body.get("reminders")), sequence)


def merge_patch(current: Resource, patch: Resource) -> Resource:
    """What PATCH makes of `current`: objects merge, arrays are replaced whole, null clears."""
    merged = dict(current)
    for key, value in patch.items():
        if value is None:
            merged.pop(key, None)
        elif isinstance(value, dict):
            held = merged.get(key)
            merged[key] = merge_patch(held if isinstance(held, dict) else {}, value)
        else:
            merged[key] = value
    return merged


def _details(body: Resource) -> Resource:
    kept: Resource = {}
    for name, kind in _DETAILS.items():
        value: Any = body.get(name)
        if value is None:
            continue
        if not isinstance(value, kind):
            raise invalid(f"Invalid value for: {name}.")
        if name in _CHOICES and value not in _CHOICES[name]:
            raise invalid(f"Invalid value for: {value} is not a valid value")
        if name == "extendedProperties":
            value = _properties(value)
        if name == "source":
            value = _source(value)
        if name == "attendees":
            _check_attendees(value)
        if value != _DEFAULTS.get(name) and value not in ({}, ""):
            kept[name] = value
    return kept


def _properties(value: Any) -> Resource:
    kept: Resource = {}
    for kind in ("private", "shared"):
        properties = value.get(kind) or {}
        if not isinstance(properties, dict) or not all(isinstance(text, str) for text in properties.values()):
            raise invalid("Invalid value for: extendedProperties.")
        short = {
            key: text[:_PROPERTY_VALUE_LIMIT] for key, text in properties.items() if len(key) <= _PROPERTY_KEY_LIMIT
        }
        if short:
            kept[kind] = short
    pairs = [pair for properties in kept.values() for pair in properties.items()]
    if len(pairs) > _PROPERTY_COUNT_LIMIT or sum(len(f"{k}{v}".encode()) for k, v in pairs) > _PROPERTY_BYTES_LIMIT:
        raise invalid("Invalid value for: extendedProperties exceed their limits.")
    return kept


def _source(value: Resource) -> Resource:
    url = value.get("url")
    if not isinstance(url, str) or not url.startswith(("http://", "https://")):
        raise invalid("Invalid value for: source.url must be an HTTP or HTTPS URL.")
    return {"url": url, "title": str(value.get("title") or "")}


def _check_attendees(value: list[Any]) -> None:
    if not all(isinstance(guest, dict) and isinstance(guest.get("email"), str) for guest in value):
        raise required("Missing attendee email.")


def _reminders(value: object) -> Resource | None:
    if value is None:
        return None
    if not isinstance(value, dict):
        raise invalid("Invalid value for: reminders.")
    overrides = value.get("overrides") or []
    if value.get("useDefault"):
        if overrides:
            raise ApiError(
                400,
                "cannotUseDefaultRemindersAndSpecifyOverride",
                "Cannot specify both default reminders and overrides at the same time.",
            )
        return None
    if not isinstance(overrides, list) or len(overrides) > _REMINDER_LIMIT or not all(map(_is_reminder, overrides)):
        raise invalid("Invalid value for: reminders.overrides.")
    kept = [{"method": item["method"], "minutes": item["minutes"]} for item in overrides]
    return {"useDefault": False} | ({"overrides": kept} if kept else {})


def _is_reminder(item: object) -> bool:
    if not isinstance(item, dict):
        return False
    minutes = item.get("minutes")
    is_number = isinstance(minutes, int) and not isinstance(minutes, bool)
    return item.get("method") in {"popup", "email"} and is_number and 0 <= item["minutes"] <= _REMINDER_MINUTES_LIMIT
