"""Works of ours whose figure is a rate: drains of new jobs, and of changes to them."""

from typing import Any

from tests.bench.race.load import Load, commit
from tests.bench.race.ours import Place, Run

SOON = {"PUSH_DEBOUNCE_SECONDS": "0"}
"""As the peers: nothing is waited for on purpose."""

CHANGES = 10_000


def drain(place: Place, n: int | None, *, users: int = 1, ms: float = 0) -> dict[str, Any]:
    """New jobs wait in the outbox; the daemon starts, and stops when all are in their calendars."""
    tenants, jobs = shape((n or CHANGES) // users, 200 // users)
    run = Run(place, Load(tenants, users, jobs), SOON)
    run.connect()
    commit(run.url, run.load.every_job())
    place.google.begin(ms=ms)
    figures = run.drain(writes=run.load.deliveries)
    run.check()
    return figures


def updates(place: Place, n: int | None) -> dict[str, Any]:
    """The same jobs changed once more, by a daemon that has just started."""
    tenants, jobs = shape(n or CHANGES, 200)
    run = Run(place, Load(tenants, 1, jobs), SOON)
    run.connect()
    commit(run.url, run.load.every_job())
    place.google.begin()
    run.deliver(writes=run.load.deliveries)
    commit(run.url, run.load.every_job(version=2))
    place.google.forget_counts()
    figures = run.drain(writes=run.load.deliveries)
    run.check(version=2)
    return figures


def shape(changes: int, tenants: int) -> tuple[int, int]:
    """So many tenants, or fewer where there are few changes, and jobs of each."""
    tenants = min(tenants, max(1, changes))
    return tenants, max(1, changes // tenants)
