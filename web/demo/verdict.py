"""Pure comparison of what should stand in the calendars with what stands there, and how long it took to get there."""

from __future__ import annotations

import hashlib
import math
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime
from enum import Enum
from typing import Any
from zoneinfo import ZoneInfo

from web.demo.expectation import JobKey, Shape, State, When
from web.demo.traffic import Commit

Resource = Mapping[str, Any]
"""An event as Google's API shows it."""


class Fault(Enum):
    """What may be wrong with a calendar."""

    MISSING = "missing"
    """A job has no event."""
    EXTRA = "extra"
    """An event of a job that should have none, or a second one of a job."""
    STALE = "stale"
    """A job's event differs in one of our fields."""
    WRONG_CALENDAR = "wrong_calendar"
    """An event of another tenant's job, or in a calendar that nobody chose."""


@dataclass(frozen=True, slots=True)
class ExpectedCalendar:
    """A chosen calendar: the tenants whose users chose it and the events that belong there."""

    tenants: frozenset[str]
    shapes: Mapping[JobKey, Shape]


@dataclass(frozen=True, slots=True)
class Finding:
    """One fault: the calendar's id, the job's id and what is to be seen."""

    fault: Fault
    calendar: str
    job_id: str
    detail: str


@dataclass(frozen=True, slots=True)
class CalendarRow:
    """One line of the closing table. `found` counts live events that carry our mark."""

    calendar: str
    expected: int
    found: int
    faults: Mapping[Fault, int]


@dataclass(frozen=True, slots=True)
class Verdict:
    """The comparison, calendar by calendar, with every single fault."""

    calendars: tuple[CalendarRow, ...]
    findings: tuple[Finding, ...]

    @property
    def expected(self) -> int:
        """Events that should stand, in all calendars together."""
        return sum(row.expected for row in self.calendars)

    @property
    def found(self) -> int:
        """Live events with our mark, in all calendars together."""
        return sum(row.found for row in self.calendars)

    @property
    def right(self) -> bool:
        """Whether nothing is wrong anywhere."""
        return not self.findings

    def count(self, fault: Fault) -> int:
        """How often that fault was found."""
        return sum(finding.fault is fault for finding in self.findings)


def compare(expected: Mapping[str, ExpectedCalendar], found: Mapping[str, Iterable[Resource]]) -> Verdict:
    """Compares by calendar id; events without our mark are the user's own and are left out, as are deleted ones."""
    rows, findings = [], []
    for calendar in sorted(expected.keys() | found.keys()):
        events = [event for event in found.get(calendar, ()) if _mark(event) is not None and _is_live(event)]
        faults = list(_faults(calendar, expected.get(calendar), events))
        findings += faults
        wanted = len(expected[calendar].shapes) if calendar in expected else 0
        rows.append(CalendarRow(calendar, wanted, len(events), Counter(finding.fault for finding in faults)))
    return Verdict(tuple(rows), tuple(findings))


def _faults(calendar: str, expected: ExpectedCalendar | None, events: Sequence[Resource]) -> Iterable[Finding]:
    standing: dict[tuple[str, str], list[Resource]] = defaultdict(list)
    for event in events:
        standing[_mark(event) or ("", "")].append(event)
    if expected is None:
        for (_, job_id), copies in standing.items():
            yield from (Finding(Fault.WRONG_CALENDAR, calendar, job_id, "nobody chose this calendar") for _ in copies)
        return
    wanted = {(tenant_mark(tenant), job_id): shape for (tenant, job_id), shape in expected.shapes.items()}
    own = {tenant_mark(tenant) for tenant in expected.tenants}
    for mark, copies in standing.items():
        tenant, job_id = mark
        if tenant not in own:
            yield from (Finding(Fault.WRONG_CALENDAR, calendar, job_id, "another tenant's job") for _ in copies)
        elif mark not in wanted:
            yield from (Finding(Fault.EXTRA, calendar, job_id, "should have no event") for _ in copies)
        else:
            yield from (Finding(Fault.EXTRA, calendar, job_id, "has more than one event") for _ in copies[1:])
            differences = [_difference(read_shape(event), wanted[mark]) for event in copies]
            if all(differences):
                yield Finding(Fault.STALE, calendar, job_id, differences[0])
    for mark in wanted.keys() - standing.keys():
        yield Finding(Fault.MISSING, calendar, mark[1], "has no event")


@dataclass(frozen=True, slots=True)
class Latencies:
    """Milliseconds from each change's commit to the calendar, ascending; `undelivered` changes never got there."""

    milliseconds: tuple[float, ...]
    undelivered: int

    def percentile(self, percent: float) -> float | None:
        """The smallest latency that at least `percent` of the changes did not exceed; None without any."""
        if not self.milliseconds:
            return None
        return self.milliseconds[max(0, math.ceil(percent / 100 * len(self.milliseconds)) - 1)]


def latencies(
    commits: Iterable[Commit],
    journal: Iterable[Mapping[str, Any]],
    states: Mapping[JobKey, Sequence[State]],
    calendars: Mapping[str, frozenset[str]],
) -> Latencies:
    """For each committed change and each calendar that shows its tenant: how long until the calendar held it.

    `calendars` names the tenants of each chosen calendar, `journal` is the sandbox's record of writes. A change has
    arrived when the calendar holds its state, or a newer row's; that counts from the newer row's own commit on.
    A row that leaves the event as it was is no change.
    """
    sent = {commit.row: commit.sent for commit in commits}
    held = _holdings(journal)
    arrived: list[float] = []
    undelivered = 0
    for (tenant, job_id), steps in states.items():
        for calendar in (name for name, tenants in calendars.items() if tenant in tenants):
            holdings = held.get((calendar, tenant_mark(tenant), job_id), [(-math.inf, ())])
            for delay in _delays(steps, sent, holdings):
                if math.isinf(delay):
                    undelivered += 1
                else:
                    arrived.append(delay * 1000)
    return Latencies(tuple(sorted(arrived)), undelivered)


Holdings = list[tuple[float, tuple[Shape, ...]]]
"""From each of these times on a calendar showed these live events of one job."""


def _delays(steps: Sequence[State], sent: Mapping[int, float], holdings: Holdings) -> Iterable[float]:
    """Seconds to arrival, infinite for none, of each step that changes the event; oldest first."""
    delays: list[float] = []
    arrival = math.inf
    for step, before in zip(reversed(steps), [*[state.shape for state in reversed(steps[:-1])], None], strict=True):
        if step.row not in sent:
            continue
        arrival = min(arrival, _first_held(step.shape, holdings, since=sent[step.row]))
        if step.shape != before:
            delays.append(arrival - sent[step.row])
    return reversed(delays)


def _first_held(shape: Shape | None, holdings: Holdings, *, since: float) -> float:
    """The first moment, not before `since`, at which the calendar showed exactly that; infinite if never."""
    ends = [*[begin for begin, _ in holdings[1:]], math.inf]
    for (begin, shown), end in zip(holdings, ends, strict=True):
        fits = not shown if shape is None else len(shown) == 1 and not _difference(shown[0], shape)
        if fits and end > since:
            return max(begin, since)
    return math.inf


def _holdings(journal: Iterable[Mapping[str, Any]]) -> Mapping[tuple[str, str, str], Holdings]:
    """The journal as a history for each calendar and job, by calendar id, tenant's mark and job id."""
    marks: dict[tuple[str, str], tuple[str, str]] = {}
    live: dict[tuple[str, str, str], dict[str, Shape]] = defaultdict(dict)
    held: dict[tuple[str, str, str], Holdings] = defaultdict(lambda: [(-math.inf, ())])
    for entry in sorted(journal, key=lambda entry: int(entry["seq"])):
        event, calendar, event_id = entry["resource"], entry["calendar"], entry["event"]
        mark = _mark(event) or marks.get((calendar, event_id))
        if mark is None:
            continue
        marks[calendar, event_id] = mark
        shown = live[calendar, *mark]
        if _is_live(event):
            shown[event_id] = read_shape(event)
        else:
            shown.pop(event_id, None)
        held[calendar, *mark].append((float(entry["time"]), tuple(shown.values())))
    return held


def tenant_mark(tenant_id: str) -> str:
    """How an event names its tenant: the beginning of a digest, since calendars are read by others too."""
    return hashlib.sha256(tenant_id.encode()).hexdigest()[:16]


def read_shape(event: Resource) -> Shape:
    """Our five fields of an event as the API shows it."""
    return Shape(
        summary=event.get("summary", ""),
        description=event.get("description", ""),
        location=event.get("location", ""),
        start=_read_when(event.get("start", {})),
        end=_read_when(event.get("end", {})),
    )


def _read_when(bound: Resource) -> When:
    if bound.get("date"):
        return When(day=date.fromisoformat(bound["date"]))
    if not bound.get("dateTime"):
        return When()
    zone = bound.get("timeZone")
    time = datetime.fromisoformat(bound["dateTime"])
    if time.tzinfo is None:
        time = time.replace(tzinfo=ZoneInfo(zone or "UTC"))
    return When(instant=time.astimezone(UTC), zone=zone)


def _difference(found: Shape, expected: Shape) -> str:
    """What differs, for a person to read; empty if nothing does."""
    return ", ".join(
        f"{name} is {getattr(found, name)!r}, should be {getattr(expected, name)!r}"
        for name in ("summary", "description", "location", "start", "end")
        if not _agree(getattr(found, name), getattr(expected, name))
    )


def _agree(found: str | When, expected: str | When) -> bool:
    if isinstance(found, When) and isinstance(expected, When):
        zone_fits = expected.zone is None or found.zone == expected.zone
        return (found.day, found.instant) == (expected.day, expected.instant) and zone_fits
    return found == expected


def _mark(event: Resource) -> tuple[str, str] | None:
    """The tenant's mark and the job's id on an event of ours; None on anybody else's."""
    private = event.get("extendedProperties", {}).get("private", {})
    job_id = private.get("calendarSyncJob")
    return None if job_id is None else (private.get("calendarSyncTenant", ""), job_id)


def _is_live(event: Resource) -> bool:
    return event.get("status") != "cancelled"
