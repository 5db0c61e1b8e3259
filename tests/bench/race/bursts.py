"""Works of ours while changes go on being committed: how late, how many calls, beside a transaction held open."""

import time
from collections.abc import Iterator
from statistics import median
from typing import Any

import psycopg
from psycopg.types.json import Jsonb

from tests.bench.race.claims import Claim, ClaimLog
from tests.bench.race.drains import SOON, shape
from tests.bench.race.load import Change, Load, calendar_of, commit
from tests.bench.race.ours import SETTLED, Place, Run
from tests.bench.race.timing import Sample, latency_figures, ratio_of_equals, stretches

RATE, SECONDS = 50.0, 30.0
"""Of the steady changes."""

WARM_SECONDS = 4.0

BURST_JOBS, EDITS, EDIT_PAUSE = 1_000, 20, 0.05

HOLD_SECONDS, HOLD_COMMITS, HOLD_ROWS = 60, 100, 10
"""A thousand rows a second, ten in a transaction."""

HELD_CHANGES = 200_000

SAMPLE_SECONDS = 0.25

INSERT = "INSERT INTO calendar_sync.outbox (tenant_id, job_id, event_type, payload) VALUES (%s, %s, %s, %s)"

HOLD = "SELECT pg_current_snapshot()"


def latency(place: Place, n: int | None) -> dict[str, Any]:
    """From commit to request at a steady rate, nothing waited for on purpose."""
    changes = n or int(RATE * SECONDS)
    tenants, jobs = shape(changes, 200)
    run = Run(place, Load(tenants, 1, jobs), SOON)
    run.connect()
    place.google.begin()
    committed = []
    with psycopg.connect(run.url, autocommit=True) as producer, run.daemon():
        time.sleep(WARM_SECONDS)
        began = time.perf_counter()
        for number, change in enumerate(run.load.every_job()):
            time.sleep(max(0.0, began + number / RATE - time.perf_counter()))
            producer.execute(INSERT, _row(change))
            committed.append((change, time.time_ns()))
        place.google.wait(len(committed), seconds=WARM_SECONDS)
    came = place.google.first_requests()
    run.check()
    return latency_figures([(at, came.get((calendar_of(change.tenant, 0), change.job))) for change, at in committed])


def burst(place: Place, n: int | None) -> dict[str, Any]:
    """Twenty quick edits of each job, with the debounce that is the default: how many calls are made?"""
    tenants, jobs = shape(n or BURST_JOBS, 200)
    run = Run(place, Load(tenants, 1, jobs))
    run.connect()
    place.google.begin()
    with psycopg.connect(run.url, autocommit=True) as connection, run.daemon():
        for version in range(1, EDITS + 1):
            commit(run.url, run.load.every_job(version))
            time.sleep(EDIT_PAUSE)
        run.until(connection, SETTLED)
    run.check(version=EDITS)
    counts = place.google.counts()
    return {
        "n": run.load.changes * EDITS,
        "jobs": run.load.changes,
        "calls_per_job": counts["Parts"] / run.load.deliveries,
        "requests_per_job": counts["Requests"] / run.load.deliveries,
    }


def hold(place: Place, n: int | None) -> dict[str, Any]:
    """What a claim takes while a thousand rows a second are committed: quiet, then beside a transaction held open.

    `n`: seconds of each half.
    """
    seconds = n or HOLD_SECONDS
    run = Run(place, Load(200, 1, 50))
    run.connect()
    place.google.begin()
    changes = _endless(run.load)
    halves: list[dict[str, list[Claim]]] = []
    with ClaimLog(place.server) as log, run.daemon(), psycopg.connect(run.url) as holder:
        for held in (False, True):
            if held:
                holder.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")
                holder.execute(HOLD)
            _produce(run.url, changes, seconds * 2 / 3)
            log.begin()
            _produce(run.url, changes, seconds / 3)
            halves.append(log.claims())
    return {"n": 2 * seconds * HOLD_COMMITS * HOLD_ROWS} | _claim_figures(*halves)


def _claim_figures(quiet: dict[str, list[Claim]], held: dict[str, list[Claim]]) -> dict[str, Any]:
    """Medians; for outbox rows also of how many a claim returned, and beside those that returned as many."""
    figures: dict[str, Any] = {}
    for name, before in quiet.items():
        for half, claims in (("quiet", before), ("held", held[name])):
            if claims:
                figures |= {f"{name}_{half}_ms": median(claim.milliseconds for claim in claims)}
                figures |= {f"{name}_{half}_n": len(claims)}
            if rows := [claim.rows for claim in claims if claim.rows is not None]:
                figures[f"{name}_{half}_rows"] = median(rows)
        if before and held[name]:
            figures[f"{name}_ratio"] = figures[f"{name}_held_ms"] / figures[f"{name}_quiet_ms"]
        figures |= {f"{name}_{key}": value for key, value in ratio_of_equals(before, held[name]).items()}
    return figures


def held_drain(place: Place, n: int | None, *, held: bool = True) -> dict[str, Any]:
    """Very many changes are delivered while a transaction stays open: is the last tenth as fast as the first?"""
    tenants, jobs = shape(n or HELD_CHANGES, 200)
    run = Run(place, Load(tenants, 1, jobs), SOON)
    run.connect()
    commit(run.url, run.load.every_job())
    place.google.begin()
    place.server.settle()
    with psycopg.connect(run.url) as holder, psycopg.connect(run.url, autocommit=True) as connection:
        if held:
            holder.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")
            holder.execute(HOLD)
        with run.daemon() as daemon:
            samples = [Sample(0.0, 0.0)]
            deadline = time.monotonic() + place.seconds
            while samples[-1].done < run.load.deliveries and time.monotonic() < deadline:
                time.sleep(SAMPLE_SECONDS)
                written = place.google.counts()["Written"]
                samples.append(Sample(time.perf_counter() - daemon.ready, written))
            run.until(connection, SETTLED)
    run.check()
    return stretches(samples, run.load.deliveries)


def _endless(load: Load) -> Iterator[Change]:
    version = 0
    while True:
        version += 1
        yield from load.every_job(version)


def _produce(url: str, changes: Iterator[Change], seconds: float) -> None:
    """A thousand rows a second, for so long."""
    with psycopg.connect(url) as producer, producer.cursor() as cursor:
        began = time.perf_counter()
        for number in range(int(seconds * HOLD_COMMITS)):
            time.sleep(max(0.0, began + number / HOLD_COMMITS - time.perf_counter()))
            cursor.executemany(INSERT, [_row(next(changes)) for _ in range(HOLD_ROWS)])
            producer.commit()


def _row(change: Change) -> tuple[object, ...]:
    return (change.tenant, change.job, change.event, Jsonb(change.payload))
