"""What happened: numbered records of writes that took effect and of requests received, and counts of them."""

from collections import Counter, deque
from dataclasses import dataclass, fields
from typing import Any, Generic, TypeVar

from web.sandbox.faults import Carriage

KEPT = 100_000
"""Records kept; older ones are dropped."""


@dataclass(frozen=True, slots=True)
class Write:
    """A write that took effect. `time` (seconds since 1970) is when the state was held; `actor` is who wrote."""

    time: float
    actor: str
    account: str
    calendar: str
    event: str
    method: str
    resource: dict[str, Any]


@dataclass(frozen=True, slots=True)
class Request:
    """A request received and the status answered, `cut` or `lost`. Secrets are left out of path, headers and body.

    A batch and the calls in it bear the same number, `batch`, and each call its place, `part`; so records without a
    `part` are the HTTP requests.
    """

    time: float
    actor: str
    account: str
    method: str
    path: str
    headers: dict[str, str]
    body: Any
    status: int | str
    batch: int | None = None
    part: int | None = None


Record = TypeVar("Record", Write, Request)


class Journal(Generic[Record]):
    """Records in the order they were added, numbered from 1. Not thread-safe."""

    def __init__(self, kept: int = KEPT) -> None:
        self._records: deque[Record] = deque(maxlen=kept)
        self._last = 0

    def append(self, record: Record) -> int:
        """Add a record and answer its number."""
        self._records.append(record)
        self._last += 1
        return self._last

    def since(self, number: int) -> dict[str, Any]:
        """The records after that number, each with its own (`seq`), the last number given, and how many are lost."""
        first = self._last - len(self._records) + 1
        skipped = max(number - first + 1, 0)
        entries = [
            {"seq": first + place, **{field.name: getattr(record, field.name) for field in fields(record)}}
            for place, record in enumerate(self._records)
            if place >= skipped
        ]
        return {"entries": entries, "last": self._last, "dropped": max(first - 1 - number, 0)}


class Stats:
    """Counts of HTTP requests and of calls in batches by method and status, and of the Calendar's HTTP requests.

    Only calls cost quota units, plain or in a batch; a batch itself costs none.
    """

    def __init__(self) -> None:
        self._requests: Counter[tuple[str, str]] = Counter()
        self._parts: Counter[tuple[str, str]] = Counter()
        self.calendar_requests = 0
        self.quota_units = 0

    def count(self, method: str, status: int | str, carriage: Carriage) -> None:
        """Count one request of the project."""
        counter = self._parts if carriage is Carriage.PART else self._requests
        counter[method, str(status)] += 1

    def count_calendar(self, cost: int, carriage: Carriage) -> None:
        """Count one Calendar request of the project and its units, whatever was answered."""
        self.calendar_requests += carriage is not Carriage.PART
        self.quota_units += 0 if carriage is Carriage.BATCH else cost

    def figures(self) -> dict[str, Any]:
        """The counts as JSON: `requests` and `parts` by method, then status."""
        return {
            "requests": _by_method(self._requests),
            "parts": _by_method(self._parts),
            "calendar_requests": self.calendar_requests,
            "quota_units": self.quota_units,
        }


def _by_method(counts: Counter[tuple[str, str]]) -> dict[str, dict[str, int]]:
    found: dict[str, dict[str, int]] = {}
    for (method, status), number in sorted(counts.items()):
        found.setdefault(method, {})[status] = number
    return found
