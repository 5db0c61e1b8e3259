"""events.list: which events a query names, in which order, and the page and sync tokens that walk through them."""

import base64
import binascii
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from zoneinfo import ZoneInfo

from web.sandbox.errors import ApiError, invalid_parameter, time_range_empty
from web.sandbox.events import Event
from web.sandbox.times import parse_instant

Params = Mapping[str, Sequence[str]]
"""A query string: each name with its values in order."""

DEFAULT_PAGE, LARGEST_PAGE = 250, 2500
"""events.list: maxResults where none is given, and the most that is heeded."""

_NOT_WITH_SYNC = (
    "iCalUID", "orderBy", "privateExtendedProperty", "q", "sharedExtendedProperty", "timeMin", "timeMax", "updatedMin",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Cursor:
    """Where a walk stands: the calendar's version when it began and the sort key of the last event handed out."""

    version: int
    key: tuple[float, int] = (float("-inf"), -1)


@dataclass(frozen=True, slots=True)
class ListQuery:
    """The parameters of events.list, checked."""

    limit: int = DEFAULT_PAGE
    cursor: Cursor | None = None
    changed_after: int | None = None
    show_deleted: bool = False
    order_by: str = ""
    time_min: datetime | None = None
    time_max: datetime | None = None
    updated_min: datetime | None = None
    ical_uid: str = ""
    words: tuple[str, ...] = ()
    properties: tuple[tuple[str, str, str], ...] = ()
    syncable: bool = True


@dataclass(frozen=True, slots=True)
class Page:
    """One page of events, with the token of the next page or, on the last one, of the next sync (may be empty)."""

    events: tuple[Event, ...]
    next_page_token: str = ""
    next_sync_token: str = ""


def flag(params: Params, name: str) -> bool:
    """A boolean parameter, false where absent."""
    value = params.get(name, ["false"])[-1].lower()
    if value not in {"true", "false"}:
        raise invalid_parameter(name, value)
    return value == "true"


def page_size(params: Params, default: int, largest: int) -> int:
    """maxResults: at least 1, quietly cut to the largest."""
    value = params.get("maxResults", [str(default)])[-1]
    if not value.isascii() or not value.isdigit() or int(value) < 1:
        raise invalid_parameter("maxResults", value)
    return min(int(value), largest)


def parse_query(params: Params) -> ListQuery:
    """Read the query string of events.list; raises ApiError 400 as Google would."""
    last = {name: values[-1] for name, values in params.items() if values}
    syncable = not any(name in params for name in _NOT_WITH_SYNC)
    if "syncToken" in last and (not syncable or last.get("showDeleted") == "false"):
        raise invalid_parameter("syncToken", last["syncToken"])
    order_by = last.get("orderBy", "")
    if order_by not in {"", "startTime", "updated"}:
        raise invalid_parameter("orderBy", order_by)
    if order_by == "startTime" and not flag(params, "singleEvents"):
        message = "The requested ordering is not available for the particular query."
        raise ApiError(400, "badRequest", message)
    time_min, time_max = _instant(last, "timeMin"), _instant(last, "timeMax")
    if time_min and time_max and time_max <= time_min:
        raise time_range_empty()
    return ListQuery(
        limit=page_size(params, DEFAULT_PAGE, LARGEST_PAGE),
        cursor=_read_cursor(last["pageToken"]) if last.get("pageToken") else None,
        changed_after=_read_sync_token(last["syncToken"]) if "syncToken" in last else None,
        show_deleted=flag(params, "showDeleted") or "syncToken" in last or "updatedMin" in last,
        order_by=order_by,
        time_min=time_min,
        time_max=time_max,
        updated_min=_instant(last, "updatedMin"),
        ical_uid=last.get("iCalUID", ""),
        words=tuple(last.get("q", "").casefold().split()),
        properties=(*_constraints(params, "private"), *_constraints(params, "shared")),
        syncable=syncable,
    )


def list_page(events: Iterable[Event], query: ListQuery, zone: ZoneInfo, version: int) -> Page:
    """The page of `events` that the query asks for, on a calendar kept in `zone` and now at `version`."""
    cursor = query.cursor or Cursor(version)
    named = [(_sort_key(event, query, zone), event) for event in events if _matches(event, query, zone)]
    ahead = sorted((pair for pair in named if pair[0] > cursor.key), key=lambda pair: pair[0])
    chosen = tuple(event for _, event in ahead[: query.limit])
    if len(ahead) > query.limit:
        return Page(chosen, next_page_token=_token([cursor.version, *ahead[query.limit - 1][0]]))
    # The version at which the walk began: an event changed between two pages must come again with the next sync.
    return Page(chosen, next_sync_token=_token(cursor.version) if query.syncable else "")


def _matches(event: Event, query: ListQuery, zone: ZoneInfo) -> bool:
    details = event.content.details
    held = details.get("extendedProperties", {})
    text = " ".join(str(details.get(name, "")) for name in ("summary", "description", "location")).casefold()
    return (
        (query.show_deleted or not event.cancelled)
        and (query.changed_after is None or event.version > query.changed_after)
        and (query.time_min is None or event.content.end.bound(zone) > query.time_min)
        and (query.time_max is None or event.content.start.bound(zone) < query.time_max)
        and (query.updated_min is None or event.updated >= query.updated_min)
        and query.ical_uid in {"", event.ical_uid}
        and all(held.get(kind, {}).get(name) == value for kind, name, value in query.properties)
        and all(word in text for word in query.words)
    )


def _sort_key(event: Event, query: ListQuery, zone: ZoneInfo) -> tuple[float, int]:
    if query.order_by == "startTime":
        return event.content.start.bound(zone).timestamp(), event.ordinal
    if query.order_by == "updated":
        return event.updated.timestamp(), event.ordinal
    return 0.0, event.ordinal


def _constraints(params: Params, kind: str) -> Iterable[tuple[str, str, str]]:
    name = f"{kind}ExtendedProperty"
    for constraint in params.get(name, ()):
        key, equals, value = constraint.partition("=")
        if not equals:
            raise invalid_parameter(name, constraint)
        yield kind, key, value


def _instant(last: Mapping[str, str], name: str) -> datetime | None:
    if name not in last:
        return None
    instant = parse_instant(last[name])
    if instant is None:
        raise invalid_parameter(name, last[name])
    return instant


def _token(value: object) -> str:
    return base64.urlsafe_b64encode(json.dumps(value).encode()).decode()


def _untoken(token: str) -> object:
    try:
        return json.loads(base64.urlsafe_b64decode(token))
    except (binascii.Error, ValueError):
        return None


def _read_cursor(token: str) -> Cursor:
    match _untoken(token):
        case [int(version), float(value), int(ordinal)]:
            return Cursor(version, (value, ordinal))
    raise invalid_parameter("pageToken", token)


def _read_sync_token(token: str) -> int:
    match _untoken(token):
        case int(version):
            return version
    raise ApiError(410, "fullSyncRequired", location_type="parameter", location="syncToken")
