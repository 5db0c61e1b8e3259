"""Our calls as HTTP requests. Pure."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from urllib.parse import quote

from outbox.google.calls import Call, Delete, Insert, Probe, Read, Update


@dataclass(frozen=True, slots=True)
class HttpRequest:
    """A request but for its host and its authorization; `target` is its path and query."""

    method: str
    target: str
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes | None = field(default=None, repr=False)


_JSON = {"Content-Type": "application/json"}


def request_for(call: Call, calendar_id: str, *, base_path: str) -> HttpRequest:
    """The request that makes this call; `base_path` is that of the API, "/calendar/v3"."""
    events = _events(base_path, calendar_id)
    match call:
        case Insert():
            # Whatever the body says: an event under an id of Google's choosing could not be found again.
            body = _encoded({**call.body, "id": call.event_id})
            return HttpRequest("POST", f"{events}?sendUpdates=none&prettyPrint=false", _JSON, body)
        case Read():
            return HttpRequest("GET", f"{events}/{_event(call)}?prettyPrint=false")
        case Update():
            # Without these Google takes what the body says of attachments and labels for nothing, and clears them.
            attachments = "&supportsAttachments=true" if "attachments" in call.body else ""
            label = "&eventLabelVersion=1" if "eventLabelId" in call.body else ""
            target = f"{events}/{_event(call)}?sendUpdates=none&prettyPrint=false{attachments}{label}"
            return HttpRequest("PUT", target, {**_JSON, "If-Match": call.etag}, _encoded(call.body))
        case Probe():
            return HttpRequest("GET", f"{events}?maxResults=1&fields=accessRole&prettyPrint=false")
        case Delete():
            target = f"{events}/{_event(call)}?sendUpdates=none&prettyPrint=false"
            return HttpRequest("DELETE", target, {"If-Match": call.etag})


@lru_cache(maxsize=1024)
def _events(base_path: str, calendar_id: str) -> str:
    """The path of a calendar's events: the same again for each of its many calls."""
    return f"{base_path}/calendars/{quote(calendar_id, safe='')}/events"


def _event(call: Read | Update | Delete) -> str:
    return quote(call.event_id, safe="")


def _encoded(body: Mapping[str, object]) -> bytes:
    return json.dumps(dict(body)).encode()
