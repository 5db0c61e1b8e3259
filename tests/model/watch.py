"""What Google's own records say: every write that took effect, in order, and every request with its account."""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from hashlib import sha256
from typing import Any
from urllib.parse import unquote

from tests.model.expected import Expected, Key
from web.sandbox.server import SandboxServer

_TITLE = re.compile(r"(\w+)/(\w+)\.v(\d+) ·")
_EVENTS = re.compile(r"/calendar/v3/calendars/([^/]+)/events")


@dataclass(frozen=True, slots=True)
class Event:
    """A live event of ours as its owner sees it."""

    tenant: str
    job_id: str
    title: str
    colour: str | None


class Watch:
    """Follows Google's records from where it began, and knows what stands in every calendar.

    Args:
        tenants: the tenants' keys by the names that titles carry.
    """

    def __init__(self, google: SandboxServer, tenants: Mapping[str, str]) -> None:
        self._google = google
        self._names = {sha256(key.encode()).hexdigest()[:16]: name for name, key in tenants.items()}
        self._writes = google.control("GET", "journal?since=1000000000")["last"]
        self._requests = google.control("GET", "requests?since=1000000000")["last"]
        self._newest: dict[tuple[str, Key], int] = {}
        self.live: dict[tuple[str, str], Event] = {}
        """By calendar and event id."""
        self.edited = False
        """A user has edited an event since the last look."""

    def drop(self, calendar: str) -> None:
        """The calendar is gone with everything on it."""
        self.live = {where: event for where, event in self.live.items() if where[0] != calendar}

    def on(self, tenant: str, calendar: str) -> dict[str, Event]:
        """The tenant's live events in a calendar by job."""
        return {
            event.job_id: event
            for (where, _), event in self.live.items()
            if (where, event.tenant) == (calendar, tenant)
        }

    def follow(self, expected: Expected) -> list[tuple[str, str, str]]:
        """Judge what was written since the last look; account, calendar and method of each of our requests."""
        requests = list(self._requests_since())
        if requests or self.edited:
            self._follow_writes(expected)
        self.edited = False
        return requests

    def _requests_since(self) -> Iterator[tuple[str, str, str]]:
        found = self._google.control("GET", f"requests?since={self._requests}")
        self._requests = found["last"]
        for entry in found["entries"]:
            match = _EVENTS.match(entry["path"])
            if match and entry["actor"] == "project" and entry["account"]:  # a dead token names nobody
                yield entry["account"], unquote(match[1]), entry["method"]

    def _follow_writes(self, expected: Expected) -> None:
        """Each is judged in the moment in which it took effect."""
        found = self._google.control("GET", f"journal?since={self._writes}")
        self._writes = found["last"]
        for entry in found["entries"]:
            self._write(entry, expected)

    def _write(self, entry: Mapping[str, Any], expected: Expected) -> None:
        calendar, resource = entry["calendar"], entry["resource"]
        marks = resource.get("extendedProperties", {}).get("private", {})
        if resource["status"] == "cancelled":
            self.live.pop((calendar, entry["event"]), None)
            return
        tenant, job_id = self._names.get(marks.get("calendarSyncTenant", "")), marks.get("calendarSyncJob")
        assert tenant, f"an event without our tenant's mark: {resource}"
        assert job_id, f"an event without its job's mark: {resource}"
        others = {
            event_id
            for (where, event_id), event in self.live.items()
            if (where, event.tenant, event.job_id) == (calendar, tenant, job_id) and event_id != entry["event"]
        }
        assert not others, f"{job_id} of {tenant} stands twice in {calendar}: {others} and {entry['event']}"
        title = resource.get("summary", "")
        self.live[calendar, entry["event"]] = Event(tenant, job_id, title, resource.get("colorId"))
        if entry["actor"] == "project" and job_id.startswith("job_"):
            self._judge_version(calendar, (tenant, job_id), title, expected)

    def _judge_version(self, calendar: str, job: Key, title: str, expected: Expected) -> None:
        match = _TITLE.match(title)
        assert match, f"not a title of ours: {title}"
        assert (match[1], match[2]) == job, f"{title} was written for {job}"
        version = int(match[3])
        assert version in expected.committed.get(job, ()), f"{title} was never committed"
        newest = self._newest.get((calendar, job), 0)
        assert version >= newest, f"{title} was written over v{newest} in {calendar}"
        self._newest[calendar, job] = version
