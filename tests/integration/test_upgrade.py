"""From the schema of the release before this one, with everything in it, to this one's while producers go on writing.

`make upgrade` is the long form: that release's own daemons and web workers are at work meanwhile (docs/operations.md).
"""

import threading
from collections.abc import Iterator
from concurrent.futures import FIRST_COMPLETED, ThreadPoolExecutor, wait
from typing import Any
from uuid import uuid4

import psycopg
import pytest
from psycopg import sql
from psycopg.types.json import Jsonb

from outbox import migrations
from tests.conftest import create_database, drop_database, of_database
from tests.integration.conftest import World, job
from tests.integration.interleaving import BOUND
from tests.integration.steps import problems
from tests.upgrade.release import SCHEMA
from web.api.paths import API, FEED
from web.demo.stage import bring_up_to_date
from web.sandbox.server import SandboxServer

KEPT = sql.SQL(
    "SELECT table_name, array_agg(column_name::text ORDER BY ordinal_position) FROM information_schema.columns"
    " JOIN information_schema.tables USING (table_schema, table_name)"
    " WHERE table_schema = 'calendar_sync' AND table_type = 'BASE TABLE' AND is_generated = 'NEVER'"
    " AND table_name <> 'schema_migration' GROUP BY table_name ORDER BY table_name"
)
"""The tables that hold what must not be lost, with their columns."""

Tables = dict[str, list[str]]


@pytest.fixture
def former_url(server_url: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """URL of a database with the schema of the release before this one."""
    name = f"former_{uuid4().hex}"
    create_database(server_url, name)
    url, known = of_database(server_url, name), migrations.migrations()
    with monkeypatch.context() as earlier:
        earlier.setattr(migrations, "migrations", lambda: known[:SCHEMA])
        migrations.migrate(url)
    yield url
    drop_database(server_url, name)


def tables_of(url: str) -> Tables:
    with psycopg.connect(url) as connection:
        return dict(connection.execute(KEPT).fetchall())


def rows_of(url: str, tables: Tables) -> dict[str, list[tuple[Any, ...]]]:
    """Every row of every table, in those columns."""
    with psycopg.connect(url) as connection:
        return {table: sorted(connection.execute(select(table, tables)).fetchall(), key=repr) for table in tables}


def select(table: str, tables: Tables) -> sql.Composed:
    columns = sql.SQL(", ").join(map(sql.Identifier, tables[table]))
    return sql.SQL("SELECT {} FROM {}").format(columns, sql.Identifier("calendar_sync", table))


def move_into(former: str, world: World) -> None:
    """Put what the world holds into the former schema, as if that release had written it."""
    tables = tables_of(former)
    with psycopg.connect(world.database_url) as source, psycopg.connect(former) as target:
        target.execute("SET session_replication_role = replica")  # what triggers did is among the rows
        names = sql.SQL(", ").join(sql.Identifier("calendar_sync", table) for table in tables)
        target.execute(sql.SQL("TRUNCATE {}").format(names))
        for table, columns in tables.items():
            into = sql.SQL("COPY {} ({}) FROM STDIN").format(
                sql.Identifier("calendar_sync", table), sql.SQL(", ").join(map(sql.Identifier, columns))
            )
            out = sql.SQL("COPY ({}) TO STDOUT").format(select(table, tables))
            with source.cursor().copy(out) as reading, target.cursor().copy(into) as writing:
                for piece in reading:
                    writing.write(piece)
        for name, last in source.execute(
            "SELECT sequencename, last_value FROM pg_sequences WHERE schemaname = 'calendar_sync' AND last_value > 0"
        ):
            target.execute("SELECT setval(('calendar_sync.' || %s)::regclass, %s)", [name, last])


def fill(world: World) -> tuple[str, str]:
    """A working calendar, one with something waiting, a problem, a rejected row and a feed; the two calendars."""
    ana, bo = world.connect("u_ana"), world.connect("u_bo")
    world.commit("job_1", job("J-1"))
    world.sync()
    world.fault(kind="refuse", method="POST", calendar=bo, status=400, reason="invalid", count=1)
    world.commit("job_refused", job("J-refused"))
    world.commit("job_broken", job() | {"timezone": "Mars/Olympus"})
    world.sync()
    world.heal()
    world.caller("u_bo").ask("PATCH", API, {"paused": True})
    world.caller("u_ana").ask("POST", FEED, {})
    world.commit("job_2", job("J-2"))
    world.sync()
    world.commit("job_3", job("J-3"))
    return ana, bo


def test_the_schema_is_brought_up_to_date_under_traffic_and_no_row_is_lost(
    world: World, former_url: str, google: SandboxServer
) -> None:
    ana, bo = fill(world)
    move_into(former_url, world)
    tables = tables_of(former_url)
    before = rows_of(former_url, tables)
    empty = {"abandoned_grant", "departure", "notification", "outage", "retired_event", "test_push"}
    assert {table for table, rows in before.items() if not rows} <= empty

    done = threading.Event()
    committed: list[str] = []

    def produce() -> None:
        while not done.is_set():
            number = f"J-new-{len(committed)}"
            with psycopg.connect(former_url, options="-c lock_timeout=5s") as connection:
                connection.execute(
                    "INSERT INTO calendar_sync.outbox (tenant_id, job_id, event_type, payload)"
                    " VALUES (%s, %s, 'job.created', %s)",
                    [world.tenant, number, Jsonb(job(number))],
                )
            committed.append(number)

    with psycopg.connect(former_url) as slow, ThreadPoolExecutor(2) as threads:
        # Another producer has written and thinks about it: nobody may have to wait for him.
        slow.execute(
            "INSERT INTO calendar_sync.outbox (tenant_id, job_id, event_type, payload)"
            " VALUES ('t', 'j', 'job.cancelled', '{}')"
        )
        producing, upgrading = threads.submit(produce), threads.submit(bring_up_to_date, former_url)
        first, _ = wait([producing, upgrading], timeout=BOUND, return_when=FIRST_COMPLETED)
        done.set()
        slow.rollback()
        producing.result(BOUND)
        upgrading.result(BOUND)
        assert first == {upgrading}, "the upgrade waited for a producer's transaction"
    after = rows_of(former_url, tables)
    assert committed
    assert len(after.pop("outbox")) == len(before.pop("outbox")) + len(committed)
    assert after == before

    same_keys = {"TOKEN_ENCRYPTION_KEYS": world.stage.environment["TOKEN_ENCRYPTION_KEYS"]}
    with World(former_url, google, same_keys) as upgraded:
        upgraded.tenant = world.tenant
        upgraded.caller("u_bo").ask("PATCH", API, {"paused": False})
        upgraded.sync()
        assert list(problems(upgraded)) == ["job_refused"]
        assert upgraded.status()["rejected_events"] == 1
    arrived = {f"{number} · Dallas → Memphis" for number in ("J-1", "J-2", "J-3", *committed)}
    assert {*world.titles(bo)} == arrived
    assert {*world.titles(ana)} == {*arrived, "J-refused · Dallas → Memphis"}
