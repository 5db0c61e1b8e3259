"""The requests that we make of Google about one event, as values.

The plan decides on them, the client sends them, the answer's meaning leads to the next one.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

EventResource = Mapping[str, Any]
"""An event as Google's JSON spells it (GET answer or PUT/POST body)."""


@dataclass(frozen=True, slots=True)
class Insert:
    """POST a new event under the id that we chose."""

    event_id: str
    body: EventResource


@dataclass(frozen=True, slots=True)
class Read:
    """GET an event; Google answers deleted ones too, with status "cancelled"."""

    event_id: str


@dataclass(frozen=True, slots=True)
class Update:
    """PUT the whole event, only if its etag is still the one we know (If-Match)."""

    event_id: str
    body: EventResource
    etag: str


@dataclass(frozen=True, slots=True)
class Delete:
    """DELETE an event, only if its etag is still the one we know (If-Match)."""

    event_id: str
    etag: str


@dataclass(frozen=True, slots=True)
class Probe:
    """GET what the calendar says of itself, to tell a missing event from a calendar that we lost.

    Google answers both with the same 404, and a private event with the same 403 as a calendar that is read-only. The
    head of a list of events tells, because it names our role, and needs no further scope.
    """


Call = Insert | Read | Update | Delete | Probe
