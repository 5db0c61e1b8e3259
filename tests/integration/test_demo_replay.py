"""The demo's producer: its own transactions, its own jobs table, the outbox by plain INSERT."""

from __future__ import annotations

from itertools import pairwise

import psycopg
import pytest

from web.demo.traffic import Commit, Header, Tenant, Traffic, TrafficRow, replay


def row(at: float, job_id: str, payload: object, **marks: object) -> TrafficRow:
    """A row of one tenant; `marks` are the fields that differ from those of a plain update."""
    fields: dict[str, object] = {"event_type": "job.updated", "rollback": False, "broken": None} | marks
    return TrafficRow(at, "acme", job_id, payload=payload, **fields)  # type: ignore[arg-type] # marks are of several types


def traffic(*rows: TrafficRow) -> Traffic:
    return Traffic(Header("2026-11-23", {"acme": Tenant("UTC", ("u_ana",))}), rows)


FIVE_ROWS = traffic(
    row(0.0, "j1", {"legs": [], "n": 1}, event_type="job.created"),
    row(1.0, "j2", ["not", "an", "object"], event_type="job.created", broken="type"),
    row(2.0, "j1", {"legs": [], "n": 2}, rollback=True),
    row(3.0, "j1", {"legs": [], "n": 3}),
    row(4.0, "j1", {}, event_type="job.cancelled"),
)


def outbox(database_url: str) -> list[tuple[object, ...]]:
    with psycopg.connect(database_url) as connection:
        return connection.execute(
            "SELECT id, tenant_id, job_id, event_type, payload FROM calendar_sync.outbox ORDER BY id"
        ).fetchall()


def test_every_row_but_the_rolled_back_one_is_committed_in_order_and_as_it_is(database_url: str) -> None:
    heard: list[Commit] = []
    commits = replay(FIVE_ROWS, database_url, on_commit=heard.append)
    assert heard == commits
    assert [commit.row for commit in commits] == [0, 1, 3, 4]
    assert [(commit.tenant_id, commit.job_id) for commit in commits] == [
        ("acme", job) for job in ("j1", "j2", "j1", "j1")
    ]
    assert outbox(database_url) == [
        (commit.outbox_id, "acme", sent.job_id, sent.event_type, sent.payload)
        for commit, sent in zip(commits, [FIVE_ROWS.rows[commit.row] for commit in commits], strict=True)
    ]


def test_a_commit_lies_between_the_two_times_recorded(database_url: str) -> None:
    commits = replay(FIVE_ROWS, database_url)
    assert all(commit.sent <= commit.committed for commit in commits)
    assert all(earlier.committed <= later.sent for earlier, later in pairwise(commits))


def test_the_producers_own_table_holds_each_job_as_last_committed(database_url: str) -> None:
    replay(FIVE_ROWS, database_url)
    with psycopg.connect(database_url) as connection:
        jobs = connection.execute("SELECT job_id, payload, cancelled FROM jobs_service.job ORDER BY job_id").fetchall()
    assert jobs == [("j1", {}, True), ("j2", ["not", "an", "object"], False)]


@pytest.mark.parametrize("speed", [0.001, 0.5])
def test_at_a_given_speed_each_row_waits_for_its_time(database_url: str, speed: float) -> None:
    waits: list[float] = []
    replay(FIVE_ROWS, database_url, speed=speed, pause=waits.append)
    for row_, waited in zip(FIVE_ROWS.rows, waits, strict=True):
        assert waited <= row_.at / speed
        assert waited == 0.0 or waited > row_.at / speed - 60


def test_without_a_speed_nothing_waits(database_url: str) -> None:
    waits: list[float] = []
    replay(FIVE_ROWS, database_url, pause=waits.append)
    assert waits == []
