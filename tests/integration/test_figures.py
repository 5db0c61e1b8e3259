"""What monitoring reads of the database: true, cheap whatever waits, and told on this machine alone."""

import json
import re
from functools import partial
from pathlib import Path

import psycopg
import pytest
import requests
from falcon.testing import TestClient

from outbox.database import connect
from tests.integration.conftest import World, eventually, job
from tests.integration.test_plans import FILL, Session
from tests.integration.web_client import open_site
from tests.unit.test_metrics import free_port
from web.demo.stage import create_roles

PROJECT = Path(__file__).resolve().parents[2]

EXAMPLE = re.compile(r"<!-- example: [^>]*-->\s*```sql\n(.*?)```", re.DOTALL)

BROKEN = job() | {"timezone": "Mars/Olympus"}

MORE = """
INSERT INTO calendar_sync.outbox (tenant_id, job_id, event_type, payload)
SELECT 'tenant-1', 'job-' || number, 'job.updated', '{}' FROM generate_series(1, 100000) AS number;
INSERT INTO calendar_sync.pending_push (tenant_id, calendar_id, job_id, first_marked_at, due_at)
SELECT 'tenant-500', 'calendar-1', 'job-' || number, now(), now() FROM generate_series(1, 100000) AS number;
"""
"""Three times as much that waits."""


def test_the_figures_follow_a_row_from_the_outbox_to_its_end(world: World) -> None:
    world.connect("u_ana")
    world.connect("u_ben")
    world.execute("UPDATE calendar_sync.calendar_connection SET paused = true WHERE user_id = 'u_ben'")
    world.commit("job_1", job())
    world.commit("job_2", BROKEN)
    found = world.status()
    assert (found["outbox_rows"], found["pending_pushes"], found["rejected_events"]) == (2, 0, 0)
    assert (found["connections"]["active"], found["connections"]["paused"]) == (1, 1)
    with world.engine() as engine:
        engine.relay.relay_batch()
        found = world.status()
        assert (found["outbox_rows"], found["pending_pushes"], found["rejected_events"]) == (0, 2, 1)
        world.advance(60)
        assert 60 <= world.status()["oldest_due_seconds"] < 120
        engine.sync()
    found = world.status()
    # What is marked on the calendar of somebody who paused waits for him, and is not late.
    assert (found["pending_pushes"], found["oldest_due_seconds"]) == (1, 0)


def test_counts_are_exact_to_ten_thousand_and_above_that_about_right_at_the_same_cost(database_url: str) -> None:
    with connect(database_url) as filler:
        filler.execute(FILL)
    with connect(database_url) as connection:
        before = Session(connection).cost("metrics/read_figures", {})
    with connect(database_url) as filler:
        filler.execute(MORE)
    with connect(database_url) as connection:
        after = Session(connection).cost("metrics/read_figures", {})

        def about_right() -> bool:
            [(outbox, waiting)] = connection.execute("SELECT outbox_rows, pending_pushes FROM calendar_sync.figures")
            # Rows that somebody analyses while they are being counted may be counted twice for a while.
            return all(100_000 <= count <= 300_000 for count in (outbox, waiting))

        eventually(about_right)
    # The connections are read as a whole: 10,200 of them.
    assert before.buffers < 3000
    assert after.buffers < before.buffers * 1.1 + 50


def test_the_oldest_transaction_is_seen_by_roles_that_may_see_no_session_of_anybody(database_url: str) -> None:
    create_roles(database_url)
    with (
        psycopg.connect(database_url) as holder,
        psycopg.connect(database_url, autocommit=True) as service,
    ):
        service.execute("SET ROLE calendar_sync_web")

        def oldest() -> float:
            row = service.execute("SELECT oldest_transaction_seconds FROM calendar_sync.figures").fetchone()
            assert row is not None
            return float(row[0])

        assert oldest() == 0
        holder.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")
        holder.execute("SELECT FROM calendar_sync.job")
        eventually(lambda: oldest() > 0)
        holder.rollback()
        assert oldest() == 0


def test_an_owner_who_may_not_look_says_nothing_instead_of_zero(database_url: str) -> None:
    create_roles(database_url)
    with psycopg.connect(database_url, autocommit=True) as owner:
        owner.execute("ALTER FUNCTION calendar_sync.oldest_transaction_seconds() OWNER TO calendar_sync_host")
        row = owner.execute("SELECT calendar_sync.oldest_transaction_seconds()").fetchone()
    assert row == (None,)


def test_the_web_app_tells_this_machine_what_the_database_says_and_nobody_else_anything(world: World) -> None:
    world.connect("u_ana")
    world.commit("job_1", job())
    with open_site(world) as site:
        ask = partial(TestClient(site.app).simulate_get, "/metrics", host="127.0.0.1", port=8080)
        told = ask(remote_addr="127.0.0.1")
        refused = [ask(remote_addr="203.0.113.7"), ask(remote_addr="127.0.0.1", headers={"X-Forwarded-For": "::1"})]
    lines = told.text.splitlines()
    assert "calendar_sync_database_up 1.0" in lines
    assert "calendar_sync_outbox_rows 1.0" in lines
    assert 'calendar_sync_connections{state="active"} 1.0' in lines
    assert [answer.status_code for answer in refused] == [403, 403]
    assert all("calendar_sync" not in answer.text for answer in refused)
    assert json.loads(refused[0].text)["type"] == "urn:calendar-sync:problem:loopback_only"


def test_a_daemon_process_serves_its_metrics_on_loopback(world: World) -> None:
    world.connect("u_ana")
    port = free_port()
    with world.stage.start_daemon(environment={"METRICS_PORT": str(port)}):

        def text() -> str:
            try:
                return requests.get(f"http://127.0.0.1:{port}/metrics", timeout=10).text
            except requests.ConnectionError:
                return ""

        eventually(lambda: "calendar_sync_database_up 1.0" in text())
        eventually(lambda: all(f'last_tick_seconds{{loop="{name}"}}' in text() for name in ("relay", "pusher")))


def test_the_statements_of_the_runbooks_run(database_url: str) -> None:
    runbooks = {path.name: path.read_text(encoding="utf-8") for path in (PROJECT / "docs" / "runbooks").glob("*.md")}
    statements = [(name, query) for name, text in runbooks.items() for query in EXAMPLE.findall(text)]
    assert len(statements) > 10
    with psycopg.connect(database_url) as connection:
        for name, query in statements:
            try:
                connection.execute(query)
            except psycopg.Error as error:
                pytest.fail(f"{name}: {error}\n{query}")
