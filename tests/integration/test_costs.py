"""What the road from an outbox row to an event costs the shared database: statements, transactions, tuples and WAL."""

import re
from collections import Counter
from collections.abc import Callable
from functools import partial
from typing import Any

import psycopg
import pytest
from psycopg.sql import SQL

from outbox.google.client import GoogleCalendar
from outbox.quota import Priority
from outbox.turn import Turn
from tests.integration.conftest import World, eventually, job
from tests.integration.steps import lane_pusher, lease_one

RELAYING = {"transactions": 1, "statements": 6}
"""Claim the rows, share their tenants, apply them, remove them, hold the lanes, set when these are due."""

PUSHING = {"transactions": 2, "statements": 9}
"""What is due and who is there, the lane and its quota held, the draw and the intents; then the lane held, what stands,
the answered marks, the lane's release.
"""

RELAYING_AND_BEGINNING = {"transactions": 1, "statements": 13}
"""As both; the lane is leased besides, and need not be held then; and nobody is waited for."""

SETTLING = {"transactions": 1, "statements": 4}
"""What is left of it."""


WRITTEN = {"new": {"tuples": 6, "wal_bytes": 2600}, "changed": {"tuples": 6, "wal_bytes": 2900}}
"""For each job and calendar, of a payload of 700 bytes: the mark and its end, the outbox row's end, the job, the pair
before the call and after it. Page images come on top, once after each checkpoint.
"""

PER_LANE = {"tuples": 12, "wal_bytes": 1500}
"""Besides, for a push of a lane: its lease, its end, the quotas."""

TUPLES = """
SELECT sum(n_tup_ins + n_tup_upd + n_tup_del)::int FROM pg_stat_xact_user_tables WHERE schemaname = 'calendar_sync'
"""


@pytest.fixture
def written(monkeypatch: pytest.MonkeyPatch) -> Callable[[Callable[[], object]], Counter[str]]:
    """Tuples and bytes of WAL that somebody writes: each statement that writes is first explained, without effect."""
    counted: Counter[str] = Counter()
    execute = psycopg.Cursor.execute

    def explained(cursor: Any, query: Any, parameters: Any = None, **options: Any) -> Any:
        if isinstance(query, SQL) and re.search(r"^\s*(INSERT|UPDATE|DELETE) ", query.as_string(), re.MULTILINE):
            connection = cursor.connection

            def ask(question: Any, *given: Any) -> Any:
                row = execute(connection.cursor(), question, *given).fetchone()
                return row and row[0]

            with connection.transaction(force_rollback=True):
                before = ask(TUPLES) or 0
                explain = SQL("EXPLAIN (ANALYZE, WAL, TIMING OFF, FORMAT JSON) ") + query
                counted["wal_bytes"] += ask(explain, parameters)[0]["Plan"]["WAL Bytes"]
                counted["tuples"] += (ask(TUPLES) or 0) - before
        return execute(cursor, query, parameters, **options)

    monkeypatch.setattr(psycopg.Cursor, "execute", explained)

    def measured(work: Callable[[], object]) -> Counter[str]:
        counted.clear()
        work()
        return counted.copy()

    return measured


@pytest.fixture
def cost(monkeypatch: pytest.MonkeyPatch) -> Callable[[Callable[[], object]], dict[str, int]]:
    """Counts what somebody does over psycopg, whichever connection it takes."""
    counted: Counter[str] = Counter()
    execute, transaction = psycopg.Cursor.execute, psycopg.Connection.transaction

    def counted_execute(cursor: Any, query: Any, *arguments: Any, **options: Any) -> Any:
        if query != "COMMIT":
            counted["transactions" if query == "BEGIN" else "statements"] += 1
        return execute(cursor, query, *arguments, **options)

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


def test_a_lone_change_is_relayed_and_begun_in_one_transaction_and_settled_in_another(
    world: World, cost: Callable[[Callable[[], object]], dict[str, int]], monkeypatch: pytest.MonkeyPatch
) -> None:
    calendar = world.connect("u_ana")
    with world.engine() as engine:
        world.commit("job_1", job("J-1"))
        engine.sync()
        world.commit("job_1", job("J-2"))
        turns: list[Turn] = []
        monkeypatch.setattr(engine.pusher, "_work", lambda _, turn: turns.append(turn))
        engine.daemon.budget.project.offers(Priority.LIVE)
        engine.pusher._round()
        assert cost(engine.daemon._relay_round) == RELAYING_AND_BEGINNING
        eventually(lambda: len(turns) == 1)
        assert cost(lambda: engine.pusher._lanes.carry_out(turns.pop())) == SETTLING
    assert world.titles(calendar) == ["J-2 · Dallas → Memphis"]


def test_what_is_written_for_a_job_has_a_bound(
    world: World, written: Callable[[Callable[[], object]], Counter[str]]
) -> None:
    world.connect("u_ana")
    jobs = 40
    with world.engine() as engine:
        world.commit("job_0", job("J-0"))
        engine.sync()
        for kind, bound in WRITTEN.items():
            for number in range(jobs):
                world.commit(f"job_{number + 1}", {**job(f"J-{number}{kind}"), "notes": "x" * 300})
            spent = written(engine.sync)
            most = {figure: bound[figure] * jobs + PER_LANE[figure] for figure in bound}
            assert {figure: spent[figure] for figure in most if spent[figure] > most[figure]} == {}, (kind, spent)
