"""The figures of a run as tables: of each work, and of what was to be reached."""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from statistics import median
from typing import Any

from rich.console import Console
from rich.table import Table

Works = Mapping[str, Mapping[str, Sequence[Mapping[str, Any]]]]
"""Work → system → the figures of each run."""

COLUMNS = {
    "per_s": "changes/s",
    "per_s_from_start": "from start",
    "cpu_ms": "CPU ms",
    "cpu_ms_with_start": "with start",
    "pg_cpu_ms": "Postgres CPU ms",
    "wal_bytes": "WAL B",
    "transactions": "transactions",
    "tuples": "tuples",
    "requests": "requests",
    "units": "units",
    "http_requests": "requests in all",
    "seconds": "s",
    "most_in_flight": "at once",
    "p50_ms": "p50 ms",
    "p99_ms": "p99 ms",
    "max_ms": "max ms",
    "missing": "missing",
    "calls_per_job": "calls per job",
    "requests_per_job": "requests per job",
    "relay_quiet_ms": "relay quiet ms",
    "relay_quiet_rows": "rows a claim",
    "relay_held_ms": "held ms",
    "relay_held_rows": "rows a claim",
    "relay_ratio": "ratio",
    "relay_ratio_of_equals": "at as many rows",
    "lease_quiet_ms": "lease quiet ms",
    "lease_held_ms": "held ms",
    "lease_ratio": "ratio",
    "first_per_s": "first tenth/s",
    "last_per_s": "last tenth/s",
    "last_to_first": "last ÷ first",
    "peak_mb_small": "MB at 1,000",
    "peak_mb_tenth": "at 100,000",
    "peak_mb": "at 1,000,000",
    "peak_to_small": "÷ at 1,000",
    "peak_to_tenth": "÷ at 100,000",
    "outbox": "rows left",
    "pending": "marks left",
}
"""Figures that are shown, with their headings."""

_README = """
graphile-worker tuned  6702  598  0.18  0.044  1822  0.057  -     -
graphile-worker        1400  520  0.44  0.53   1766  2.0    1.45  3.2
pg-boss                4377  515  0.19  0.096  3059  0.064  2.2   4.2
txoutbox               3584  412  0.22  0.064  2655  0.081  2.8   3.5
pgqueuer               2652  478  0.35  0.21   2856  0.41   4.2   6.0
chancy                 909   411  0.70  0.44   3009  0.069  3.1   8.1
procrastinate          370   323  1.98  1.2    3224  4.0    3.5   4.6
"""
_README_HEADS = (
    *(("drain0", "per_s"), ("drain50", "per_s"), ("drain0", "cpu_ms_with_start"), ("drain0", "pg_cpu_ms")),
    *(("drain0", "wal_bytes"), ("drain0", "transactions"), ("latency", "p50_ms"), ("latency", "p99_ms")),
)


def readme_figures(work: str) -> dict[str, dict[str, float]]:
    """Medians of the peers as their README gives them, from such a machine: by system, by figure."""
    found: dict[str, dict[str, float]] = {}
    for line in _README.strip().splitlines():
        *name, columns = re.split(r"\s{2,}", line, maxsplit=1)
        for (of_work, figure), text in zip(_README_HEADS, columns.split(), strict=True):
            if of_work == work and text != "-":
                found.setdefault(name[0], {})[figure] = float(text)
    return found


def medians(runs: Sequence[Mapping[str, Any]]) -> dict[str, float]:
    """Of each figure that every run has."""
    keys = [key for key in runs[0] if all(key in run for run in runs)]
    return {key: median(float(run[key]) for run in runs) for key in keys}


@dataclass(frozen=True, slots=True)
class Aim:
    """A figure that is to be reached.

    Attributes:
        reach: whether ours does, beside the best of the peers (None where none was run).
        highest: whether more is better.
    """

    title: str
    work: str
    figure: str
    target: str
    reach: Callable[[float, float | None], bool]
    highest: bool = False


AIMS = (
    Aim("drain, Google at 0 ms, changes/s", "drain0", "per_s", "ahead of all", lambda x, b: x > (b or 0), highest=True),
    Aim(
        "drain, Google at 50 ms, changes/s",
        "drain50",
        "per_s",
        "5 × the best",
        lambda x, b: x >= 5 * (b or 0),
        highest=True,
    ),
    Aim("daemon CPU per change, ms", "drain0", "cpu_ms_with_start", "below all", lambda x, b: b is None or x < b),
    Aim("Postgres CPU per change, ms", "drain0", "pg_cpu_ms", "below 0.06", lambda x, _: x < 0.06),
    Aim("WAL per delivered change, bytes", "drain0", "wal_bytes", "below 1,800", lambda x, _: x < 1800),
    Aim("… at a fan-out of five", "drain_fanout5", "wal_bytes", "below 1,800", lambda x, _: x < 1800),
    Aim("transactions per delivered change", "drain0", "transactions", "below 0.06", lambda x, _: x < 0.06),
    Aim("commit to request at 50/s, p50 ms", "latency", "p50_ms", "below 3", lambda x, _: x < 3),
    Aim("… p99 ms", "latency", "p99_ms", "below 5", lambda x, _: x < 5),
    Aim("quota units per update in bulk", "updates", "units", "1.0", lambda x, _: x <= 1.005),
    Aim("calls for 20 quick edits of a job", "burst", "calls_per_job", "1", lambda x, _: x <= 1.0),
    Aim(
        "backfill of 2,000 jobs, 200 ms per request: requests",
        "backfill",
        "http_requests",
        "below 50",
        lambda x, _: x < 50,
    ),
    Aim("… seconds", "backfill", "seconds", "below 20", lambda x, _: x < 20),
    Aim("… 200 ms per part: requests", "backfill_parts", "http_requests", "", lambda *_: True),
    Aim("… seconds", "backfill_parts", "seconds", "", lambda *_: True),
    Aim("claim of outbox rows, held ÷ quiet, p50", "hold", "relay_ratio", "below 1.5", lambda x, _: x < 1.5),
    Aim("… beside claims of as many rows, p50", "hold", "relay_ratio_of_equals", "below 1.5", lambda x, _: x < 1.5),
    Aim("claim of lanes, held ÷ quiet, p50", "hold", "lease_ratio", "below 1.5", lambda x, _: x < 1.5),
    Aim(
        "200,000 changes while held: last tenth ÷ first",
        "held_drain",
        "last_to_first",
        "above 0.8",
        lambda x, _: x > 0.8,
        highest=True,
    ),
    Aim("RSS at 1,000,000 waiting, MB", "rss", "peak_mb", "below 150", lambda x, _: x < 150),
    Aim("… ÷ RSS at 1,000 waiting", "rss", "peak_to_small", "the same: below 1.1", lambda x, _: x < 1.1),
    Aim("… ÷ RSS at 100,000 waiting", "rss", "peak_to_tenth", "the same: below 1.1", lambda x, _: x < 1.1),
)


def verdicts(works: Works) -> list[tuple[str, str, str, str, str]]:
    """Of each aim that was measured: title, ours, the best peer's, the target, and whether it is reached."""
    rows = []
    for aim in AIMS:
        systems = {name: medians(runs) for name, runs in works.get(aim.work, {}).items()}
        ours = systems.pop("ours", {}).get(aim.figure)
        if ours is None:
            continue
        theirs = {name: figures[aim.figure] for name, figures in systems.items() if aim.figure in figures} or {
            f"{name}, README": figures[aim.figure]
            for name, figures in readme_figures(aim.work).items()
            if aim.figure in figures
        }
        best = (max if aim.highest else min)(theirs, key=lambda name: theirs[name], default=None)
        shown = f"{number(theirs[best])} ({best})" if best else ""
        reached = aim.reach(ours, theirs[best] if best else None)
        rows.append(
            (aim.title, number(ours), shown, aim.target, "" if not aim.target else "yes" if reached else "**no**")
        )
    return rows


def columns_of(systems: Mapping[str, Sequence[Mapping[str, Any]]]) -> list[str]:
    """The figures to be shown of a work: those that any system has."""
    return [key for key in COLUMNS if any(key in run for runs in systems.values() for run in runs)]


def number(value: float) -> str:
    """With three digits that tell something, and none behind the point of a large number."""
    if value >= 1000:
        return f"{value:,.0f}"
    return f"{value:.3g}"


def print_tables(console: Console, works: Works) -> None:
    """To a terminal."""
    for work, systems in works.items():
        table = Table(title=work, title_justify="left")
        table.add_column("system")
        keys = columns_of(systems)
        for key in keys:
            table.add_column(COLUMNS[key], justify="right")
        for system, runs in systems.items():
            figures = medians(runs)
            table.add_row(f"{system} × {len(runs)}", *(number(figures[key]) if key in figures else "" for key in keys))
        console.print(table)
