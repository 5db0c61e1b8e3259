"""What must stand in the calendars, worked out from job traffic alone.

A second, plain reading of the contract's job payload that shares no code with the engine, so that the two can check
each other. Rows rolled back leave no trace; rows marked broken are ignored.
"""

from __future__ import annotations

import html
import unicodedata
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any
from urllib.parse import quote
from zoneinfo import ZoneInfo

from web.demo.traffic import Traffic, TrafficRow

SUMMARY_LIMIT, LOCATION_LIMIT, NOTES_LIMIT = 300, 500, 500
"""Characters that a title, a place and a manifest's notes may have."""

ITEMS_SHOWN = 10
"""Lines of a manifest that are listed; the rest is a count."""

DESCRIPTION_LIMIT = 8000
"""Characters of a description beyond which the product leaves lines out; which ones is not foretold here."""

HOUR = timedelta(hours=1)

JobKey = tuple[str, str]
"""A tenant's id and, within it, a job's id."""

Json = Mapping[str, Any]


class UnforeseeableError(ValueError):
    """A row whose outcome cannot be worked out; the message names it."""


@dataclass(frozen=True, slots=True)
class When:
    """A bound of an event as Google shows it: a date (for an end, the day after), or an instant in UTC with its zone.

    `zone` is None if no zone is known, and then any zone will do.
    """

    day: date | None = None
    instant: datetime | None = None
    zone: str | None = None


@dataclass(frozen=True, slots=True)
class Shape:
    """The five fields of an event that are ours. `location` is empty if there is none."""

    summary: str
    description: str
    location: str
    start: When
    end: When


@dataclass(frozen=True, slots=True)
class State:
    """From the commit of `row` (an index in `Traffic.rows`) on, the job has this event; None if it has none."""

    row: int
    shape: Shape | None


@dataclass(frozen=True, slots=True)
class Bound:
    """A bound of a window, with the zone to read it in: the window's own, the job's, or None."""

    value: date | datetime
    zone: str | None

    def instant(self, *, whole_day: bool) -> datetime:
        """For comparison alone: a date is its first moment, or the moment after its last."""
        if isinstance(self.value, datetime):
            return self.value.astimezone(UTC)
        day = self.value + timedelta(days=1) if whole_day else self.value
        return datetime(day.year, day.month, day.day, tzinfo=ZoneInfo(self.zone or "UTC")).astimezone(UTC)

    def day(self) -> date:
        """The calendar day at the bound's own place."""
        if not isinstance(self.value, datetime):
            return self.value
        return (self.value.astimezone(ZoneInfo(self.zone)) if self.zone else self.value).date()


def expected_states(traffic: Traffic, *, job_url_template: str) -> dict[JobKey, list[State]]:
    """Each job's states after each of its committed, sound rows, oldest first.

    `job_url_template` is the deep link with `{job_id}` in it. Raises UnforeseeableError for a row that is not marked
    broken and yet makes no event.
    """
    states: dict[JobKey, list[State]] = {}
    for index, row in enumerate(traffic.rows):
        if row.rollback or row.broken is not None:
            continue
        try:
            shape = shape_of(row, job_url_template)
        except (AttributeError, LookupError, OverflowError, TypeError, ValueError) as error:
            raise UnforeseeableError(
                f"row {index + 1} of job {row.job_id} is not marked broken, but: {error!r}"
            ) from error
        states.setdefault((row.tenant_id, row.job_id), []).append(State(index, shape))
    return states


def final_shapes(states: Mapping[JobKey, Sequence[State]]) -> dict[JobKey, Shape]:
    """The events that stand once everything has arrived."""
    return {key: steps[-1].shape for key, steps in states.items() if steps[-1].shape is not None}


def shape_of(row: TrafficRow, job_url_template: str) -> Shape | None:
    """The event that one row asks for."""
    if row.event_type == "job.cancelled":
        return None
    job: Any = row.payload
    times = event_times(job)
    if times is None:
        return None
    start, end, note = times
    number = one_line(job["job_number"])
    titles = [one_line(leg.get("summary")) for leg in job["legs"]]
    link = html.escape(job_url_template.replace("{job_id}", quote(row.job_id, safe="")))
    body = [*manifest_lines(job.get("manifest") or {}), *note]
    description = "\n".join([*body, *([""] if body else []), f'<a href="{link}">Open job {html.escape(number)}</a>'])
    if len(description) > DESCRIPTION_LIMIT:
        raise ValueError(f"its description has {len(description)} characters")
    return Shape(
        summary=clip(" · ".join([number, *filter(None, titles)]), SUMMARY_LIMIT),
        description=description,
        location=clip(first_address(job["legs"]), LOCATION_LIMIT),
        start=start,
        end=end,
    )


def event_times(job: Json) -> tuple[When, When, list[str]] | None:
    """Start, end and, if the end had to be moved, the line that says so; None for an unscheduled job."""
    legs = job["legs"]
    dispatch = [bounds for leg in legs if any(bounds := window_bounds(leg.get("dispatch_window"), job))]
    delivery = [bounds for leg in legs if any(bounds := window_bounds(leg.get("delivery_window"), job))]
    known = [bound for bounds in dispatch + delivery for bound in bounds if bound is not None]
    if not known:
        return None
    start = dispatch[0][0] if dispatch else None
    end = delivery[-1][1] if delivery else None
    if not dispatch:
        earliest = min(known, key=lambda bound: (bound.instant(whole_day=False), bound is end))
        start = earliest if earliest is not end else None
    if not delivery:
        latest = max(known, key=lambda bound: (bound.instant(whole_day=True), bound is not start))
        end = latest if latest is not start else None
    if start is None and end is None:
        start, end = dispatch[0][1], delivery[-1][0]
    if any(bound is not None and not isinstance(bound.value, datetime) for bound in (start, end)):
        return all_day_times(start, end)
    return clock_times(start, end)


def all_day_times(start: Bound | None, end: Bound | None) -> tuple[When, When, list[str]]:
    """The days from one bound to the other, whichever of them is known."""
    days = [bound.day() for bound in (start, end) if bound is not None]
    first, last = days[0], days[-1]
    note = []
    if last < first:
        last = first
        note = ["Note: the last day is before the first; shown on the first day."]
    return When(day=first), When(day=last + timedelta(days=1)), note


def clock_times(start: Bound | None, end: Bound | None) -> tuple[When, When, list[str]]:
    """Two instants at least a moment apart; a missing one is an hour from the other."""
    first, last = at(start), at(end)
    note = []
    if first is None and last is not None:
        first = (last[0] - HOUR, last[1])
    if last is None and first is not None:
        last = (first[0] + HOUR, first[1])
    if first is None or last is None:
        raise ValueError("a window without bounds was taken")
    if last[0] <= first[0]:
        last = (first[0] + HOUR, first[1])
        note = ["Note: the delivery ends before it starts; shown with one hour from the start."]
    return When(instant=first[0], zone=first[1]), When(instant=last[0], zone=last[1]), note


def at(bound: Bound | None) -> tuple[datetime, str | None] | None:
    """A timed bound as an instant in UTC and the zone that names it."""
    return None if bound is None else (bound.instant(whole_day=False), bound.zone)


def window_bounds(window: Json | None, job: Json) -> tuple[Bound | None, Bound | None]:
    """A window's start and end, each None if it has none."""
    window = window or {}
    zone = window.get("timezone") or job.get("timezone")
    if zone is not None:
        ZoneInfo(zone)
    start, end = (Bound(read_bound(window[side]), zone) if window.get(side) else None for side in ("start", "end"))
    return start, end


def read_bound(text: str) -> date | datetime:
    """An RFC 3339 time with an offset, in whole seconds as Google has it, or a date."""
    if len(text) == len("2026-12-01"):
        return date.fromisoformat(text)
    time = datetime.fromisoformat(text.upper())
    if time.tzinfo is None:
        raise ValueError(f"{text} lacks an offset")
    return time.replace(microsecond=0)


def manifest_lines(manifest: Json) -> Iterable[str]:
    """The lines about the freight: ten items, how many more, the notes."""
    items = [line for item in manifest.get("items") or [] if (line := item_line(item))]
    yield from items[:ITEMS_SHOWN]
    more = len(items) - ITEMS_SHOWN
    if more > 0:
        yield f"• and {more} more item{'' if more == 1 else 's'}"
    notes = clip(many_lines(manifest.get("notes")), NOTES_LIMIT)
    if notes:
        yield html.escape(notes)


def item_line(item: Json) -> str:
    """`• 12 pallet Palletised paint, 5400 kg`, without what is not known; empty if nothing is."""
    what = " ".join(
        filter(None, [number(item.get("quantity")), *(one_line(item.get(key)) for key in ("unit", "description"))])
    )
    weight = number(item.get("weight_kg"))
    parts = [what, f"{weight} kg" if weight else ""]
    line = ", ".join(filter(None, parts))
    return f"• {html.escape(line)}" if line else ""


def first_address(legs: Sequence[Json]) -> str:
    """The address of the first stop of the first leg that has stops."""
    stops = next((leg["stops"] for leg in legs if leg.get("stops")), None)
    return one_line(stops[0].get("address")) if stops else ""


def number(value: float | None) -> str:
    """A figure as people write it: no exponent, no idle zeros after the point."""
    return "" if value is None else format(Decimal(str(value)).normalize(), "f")


def one_line(text: str | None) -> str:
    """Text for a single line: single spaces, nothing that cannot be seen or that turns the writing direction."""
    return "".join(filter(visible, " ".join((text or "").split())))


def many_lines(text: str | None) -> str:
    """Text that keeps its line breaks."""
    unified = (text or "").replace("\r\n", "\n").replace("\r", "\n")
    return "".join(char for char in unified if char == "\n" or visible(char)).strip()


def visible(char: str) -> bool:
    """Neither a control character nor one that embeds, overrides or isolates a direction of writing."""
    return unicodedata.category(char) != "Cc" and char not in "\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069"


def clip(text: str, limit: int) -> str:
    """At most `limit` characters, the last one … if some are missing, and no written sign cut in two."""
    if len(text) <= limit:
        return text
    cut = limit - 1
    while cut > 0 and belong_together(text, cut):
        cut -= 1
    return text[:cut].rstrip() + "…"


def belong_together(text: str, cut: int) -> bool:
    """Whether the characters on both sides of `cut` are parts of one written sign."""
    before, after = text[:cut], text[cut]
    flags = len(before) - len(before.rstrip("".join(map(chr, range(0x1F1E6, 0x1F200)))))
    half_flag = "\U0001f1e6" <= after <= "\U0001f1ff" and flags % 2 == 1
    modifier = "\U0001f3fb" <= after <= "\U0001f3ff"
    joined = before[-1] == "\u200d" or after in "\u200c\u200d"
    return joined or modifier or half_flag or unicodedata.category(after).startswith("M")
