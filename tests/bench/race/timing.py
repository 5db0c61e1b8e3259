"""Figures from measured times. Pure."""

from bisect import bisect_left
from collections.abc import Sequence
from statistics import median
from typing import Any, NamedTuple

WARM_UP = 0.1
"""Of the changes, whose latencies do not count."""


class Sample(NamedTuple):
    """How much was done by then."""

    seconds: float
    done: float


def percentile(values: Sequence[float], share: float) -> float:
    """The smallest value that so many are not above."""
    return sorted(values)[min(len(values) - 1, int(len(values) * share))]


def latency_figures(times: Sequence[tuple[int, int | None]]) -> dict[str, Any]:
    """From when each change was committed and when its first request came, in nanoseconds."""
    counted = times[int(len(times) * WARM_UP) :]
    waits = [(came - committed) / 1e6 for committed, came in counted if came is not None]
    if not waits:
        return {"n": len(times), "missing": len(times)}
    return {
        "n": len(times),
        "missing": sum(came is None for _, came in times),
        "p50_ms": percentile(waits, 0.5),
        "p90_ms": percentile(waits, 0.9),
        "p99_ms": percentile(waits, 0.99),
        "max_ms": max(waits),
    }


def ratio_of_equals(
    quiet: Sequence[tuple[float, int | None]], beside: Sequence[tuple[float, int | None]]
) -> dict[str, Any]:
    """How many times as long a claim takes as those that returned as many rows: the median, and of how many claims.

    Args:
        quiet, beside: times and rows; a claim that returned as many rows as none of the quiet ones is left out.
    """
    usual: dict[int, list[float]] = {}
    for took, rows in quiet:
        if rows is not None:
            usual.setdefault(rows, []).append(took)
    ratios = [took / median(usual[rows]) for took, rows in beside if rows is not None and rows in usual]
    return {"ratio_of_equals": median(ratios), "equals": len(ratios)} if ratios else {}


def stretches(samples: Sequence[Sample], n: int) -> dict[str, Any]:
    """The rate over the first tenth of the work and over the last."""
    first = moment(samples, n * 0.1)
    last = moment(samples, n) - moment(samples, n * 0.9)
    return {
        "n": n,
        "per_s": n / moment(samples, n),
        "first_per_s": n * 0.1 / first,
        "last_per_s": n * 0.1 / last,
        "last_to_first": first / last,
    }


def moment(samples: Sequence[Sample], done: float) -> float:
    """When so much was done, on a line between the samples on both sides."""
    place = bisect_left(samples, done, key=lambda sample: sample.done)
    if place == 0:
        return samples[0].seconds
    before, after = samples[place - 1], samples[min(place, len(samples) - 1)]
    if after.done == before.done:
        return after.seconds
    return before.seconds + (after.seconds - before.seconds) * (done - before.done) / (after.done - before.done)
