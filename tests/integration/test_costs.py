"""What the road from an outbox row to an event costs the shared database, in statements and transactions."""

from collections import Counter
from collections.abc import Callable
from functools import partial
from typing import Any

import psycopg
import pytest

from outbox.google.client import GoogleCalendar
from outbox.quota import Priority
from tests.integration.conftest import World, job
from tests.integration.steps import lane_pusher, lease_one

RELAYING = {"transactions": 1, "statements": 6}
"""Claim the rows, share their tenants, apply them, remove them, hold the lanes, set when these are due."""

PUSHING = {"transactions": 2, "statements": 9}
"""What is due and who is there, the lane and its quota held, the draw and the intents; then the lane held, what stands,
the answered marks, the lane's release.
"""


@pytest.fixture
def cost(monkeypatch: pytest.MonkeyPatch) -> Callable[[Callable[[], object]], dict[str, int]]:
    """Counts what somebody does over psycopg, whichever connection it takes."""
    counted: Counter[str] = Counter()
    execute, transaction = psycopg.Cursor.execute, psycopg.Connection.transaction

    def counted_execute(cursor: Any, *arguments: Any, **options: Any) -> Any:
        counted["statements"] += 1
        return execute(cursor, *arguments, **options)

    def counted_transaction(connection: Any, *arguments: Any, **options: Any) -> Any:
        counted["transactions"] += 1
        return transaction(connection, *arguments, **options)

    monkeypatch.setattr(psycopg.Cursor, "execute", counted_execute)
    monkeypatch.setattr(psycopg.Connection, "transaction", counted_transaction)

    def measured(work: Callable[[], object]) -> dict[str, int]:
        counted.clear()
        work()
        return dict(counted)

    return measured


@pytest.mark.parametrize("jobs", [2, 50])
def test_new_jobs_and_then_changes_cost_the_same_however_many_they_are(
    world: World, cost: Callable[[Callable[[], object]], dict[str, int]], jobs: int
) -> None:
    calendar = world.connect("u_ana")
    google = GoogleCalendar(world.stage.settings.google_calendar_url, stop=world.stop, user_agent="test")
    with world.engine() as engine, lane_pusher(world, engine, google) as lanes:
        world.commit("job_0", job("J-0"))
        engine.sync()
        for suffix in ("a", "b"):
            for number in range(jobs):
                world.commit(f"job_{number}", job(f"J-{number}{suffix}"))
            assert cost(engine.relay.relay_batch) == RELAYING
            engine.daemon.budget.project.offers(Priority.LIVE)  # drawn for many pushes
            assert cost(partial(lanes.push, lease_one(engine))) == PUSHING
            engine.sync()
            assert world.titles(calendar) == sorted(f"J-{number}{suffix} · Dallas → Memphis" for number in range(jobs))
