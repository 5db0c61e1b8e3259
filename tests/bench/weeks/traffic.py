"""The traffic of many days, made of a file of some hours: over and over, with new jobs that begin today or tomorrow."""

import json
import zlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import date, timedelta
from typing import Any

from web.demo.traffic import TrafficRow

Payload = dict[str, Any]

DAYS_AHEAD = 2
"""Today and tomorrow: jobs that are over soon, so that there is something to forget."""


def endless(rows: Sequence[TrafficRow], tenants: Mapping[str, str]) -> Iterator[TrafficRow]:
    """The rows in order, again and again, each time of other jobs; `tenants` gives the tenants their names here.

    What is rolled back is left out. The dates are still those of the file: see `on_day`.
    """
    passes = 0
    while True:
        for row in rows:
            if not row.rollback:
                yield replace(row, tenant_id=tenants[row.tenant_id], job_id=f"{row.job_id}-{passes}")
        passes += 1


def on_day(row: TrafficRow, day: date) -> TrafficRow:
    """The row with its dates moved, so that the job begins on that day or on the next, always the same for a job."""
    if row.broken is not None or not isinstance(row.payload, dict):
        return row
    payload: Payload = json.loads(json.dumps(row.payload))
    bounds = [(window, side) for window in _windows(payload) for side in ("start", "end") if window.get(side)]
    if not bounds:
        return row
    first = min(date.fromisoformat(window[side][:10]) for window, side in bounds)
    days = day + timedelta(days=zlib.crc32(row.job_id.encode()) % DAYS_AHEAD) - first
    for window, side in bounds:
        window[side] = (date.fromisoformat(window[side][:10]) + days).isoformat() + window[side][10:]
    return replace(row, payload=payload)


def _windows(payload: Payload) -> Iterator[Payload]:
    for leg in payload.get("legs", ()):
        for window in (leg.get("dispatch_window"), leg.get("delivery_window")):
            if window:
                yield window
