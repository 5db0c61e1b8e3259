"""Migrations run once each, from wherever and however often; what does not fit together is said with the way out."""

import re
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from urllib.parse import quote
from uuid import uuid4

import psycopg
import pytest

from outbox.migrations import Migration, MigrationError, Rights, migrate, migrations, missing_migrations, renew_rights
from outbox.statements import statement
from tests.conftest import create_database, drop_database, of_database
from tests.integration.conftest import eventually

SQL = Path(__file__).resolve().parents[2] / "sql"

VERSIONS = [migration.version for migration in migrations()]

STATEMENTS = sorted(
    str(path.relative_to(SQL).with_suffix(""))
    for path in SQL.rglob("*.sql")
    if path.parent.name not in {"migrations", "migration"} and path.name != "roles.sql"
)


@pytest.fixture
def empty_url(server_url: str) -> Iterator[str]:
    """URL of a database with nothing in it."""
    name = f"empty_{uuid4().hex}"
    create_database(server_url, name)
    yield of_database(server_url, name)
    drop_database(server_url, name)


def recorded(url: str) -> list[int]:
    with psycopg.connect(url) as connection:
        return [
            version
            for (version,) in connection.execute("SELECT version FROM calendar_sync.schema_migration ORDER BY version")
        ]


def test_an_empty_database_gets_every_migration_in_order_and_on_record(empty_url: str) -> None:
    assert [migration.version for migration in migrate(empty_url)] == VERSIONS == list(range(1, len(VERSIONS) + 1))
    assert recorded(empty_url) == VERSIONS


def test_the_second_time_nothing_is_left_to_do(empty_url: str) -> None:
    migrate(empty_url)
    assert migrate(empty_url) == []
    assert recorded(empty_url) == VERSIONS


def test_of_several_at_once_one_does_the_work(empty_url: str) -> None:
    with ThreadPoolExecutor(4) as threads:
        applied = list(threads.map(migrate, [empty_url] * 4))
    assert sorted(len(one) for one in applied) == [0, 0, 0, len(VERSIONS)]
    assert recorded(empty_url) == VERSIONS


def test_a_database_that_a_newer_release_brought_further_is_left_alone_and_served(empty_url: str) -> None:
    migrate(empty_url)
    with psycopg.connect(empty_url) as connection:
        connection.execute(
            "INSERT INTO calendar_sync.schema_migration (version, name, checksum) VALUES (9999, 'later', 'x')"
        )
        assert missing_migrations(connection) == []
    assert migrate(empty_url) == []
    assert recorded(empty_url) == [*VERSIONS, 9999]


def test_a_migration_edited_after_it_was_applied_is_noticed(empty_url: str) -> None:
    migrate(empty_url)
    with psycopg.connect(empty_url) as connection:
        connection.execute("UPDATE calendar_sync.schema_migration SET checksum = 'other' WHERE version = 1")
    with pytest.raises(MigrationError, match=r"migration 1 \(initial\) was edited .* put the change into a new"):
        migrate(empty_url)


def test_a_migration_that_fails_leaves_nothing_behind(empty_url: str) -> None:
    with psycopg.connect(empty_url) as connection:
        connection.execute("CREATE SCHEMA calendar_sync CREATE TABLE pushed_event ()")
    with pytest.raises(psycopg.errors.DuplicateTable):
        migrate(empty_url)
    assert recorded(empty_url) == []
    with psycopg.connect(empty_url) as connection:
        assert connection.execute("SELECT to_regclass('calendar_sync.outbox')").fetchone() == (None,)


ONE_MORE = Migration(9999, "one_more", "ALTER TABLE calendar_sync.outbox ADD COLUMN one_more integer")


def test_a_migration_that_waits_for_a_table_keeps_nobody_out_of_it(
    database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("outbox.migrations.migrations", lambda: [*migrations(), ONE_MORE])
    monkeypatch.setattr("outbox.migrations.LOCK_SECONDS", 0.2)
    waiting = "SELECT FROM pg_locks WHERE relation = 'calendar_sync.outbox'::regclass AND NOT granted"
    with (
        ThreadPoolExecutor(1) as thread,
        psycopg.connect(database_url, autocommit=True) as producer,
        psycopg.connect(database_url) as report,
    ):
        report.execute("SELECT FROM calendar_sync.outbox")
        migrated = thread.submit(migrate, database_url)
        eventually(lambda: producer.execute(waiting).rowcount > 0)
        producer.execute("SET lock_timeout = '10s'")
        producer.execute(
            "INSERT INTO calendar_sync.outbox (tenant_id, job_id, event_type, payload)"
            " VALUES ('a', 'j', 'job.updated', '{}')"
        )
        assert not migrated.done()
        report.rollback()
        assert migrated.result(30) == [ONE_MORE]


def test_a_migration_whose_table_is_not_let_go_says_so_with_the_way_out(
    database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("outbox.migrations.migrations", lambda: [*migrations(), ONE_MORE])
    monkeypatch.setattr("outbox.migrations.LOCK_SECONDS", 0.05)
    monkeypatch.setattr("outbox.migrations.LOCK_PATIENCE_SECONDS", 0.0)
    with psycopg.connect(database_url) as report:
        report.execute("SELECT FROM calendar_sync.outbox")
        with pytest.raises(MigrationError, match=r"9999 \(one_more\) was not applied, .* end it .* and repeat"):
            migrate(database_url)
    assert recorded(database_url) == VERSIONS


def test_rights_are_renewed_however_long_somebody_holds_the_tables_or_migrates(database_url: str) -> None:
    hurried = f"{database_url}{'&' if '?' in database_url else '?'}options=" + quote(
        "-c statement_timeout=300ms -c lock_timeout=300ms"
    )
    waiting = (
        "SELECT FROM pg_stat_activity WHERE datname = current_database() AND application_name = 'calendar-sync migrate'"
        " AND state = 'active' AND starts_with(query, %s) AND clock_timestamp() - query_start > interval '400 ms'"
    )
    with (
        ThreadPoolExecutor(1) as thread,
        psycopg.connect(database_url, autocommit=True) as watch,
        psycopg.connect(database_url) as holder,
    ):
        watch.execute("ALTER TABLE calendar_sync.lane DISABLE ROW LEVEL SECURITY")
        watch.execute("SELECT pg_advisory_lock(7164779125)")  # as another migrate holds it
        holder.execute("SELECT FROM calendar_sync.lane")
        renewed = thread.submit(renew_rights, hurried)
        for begins_with in ("SELECT pg_advisory_lock", "-- Roles"):
            eventually(lambda begins=begins_with: renewed.done() or watch.execute(waiting, [begins]).rowcount > 0)  # type: ignore[misc]
            assert not renewed.done()
            watch.execute("SELECT pg_advisory_unlock(7164779125)")
        holder.rollback()
        assert renewed.result(30) is Rights.RENEWED


def test_rights_that_somebody_keeps_from_being_renewed_are_told_with_the_way_out(
    database_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "roles.sql").write_text("DO $$ BEGIN RAISE lock_not_available; END $$")  # as after 300 tries
    monkeypatch.setattr("outbox.migrations.files", lambda _: tmp_path)
    with pytest.raises(MigrationError, match=r"a transaction has held the tables .* and repeat: calendar-sync migrate"):
        renew_rights(database_url)


def test_what_is_missing_can_be_asked_without_changing_anything(database_url: str) -> None:
    with psycopg.connect(database_url) as connection:
        assert missing_migrations(connection) == []
        connection.execute("DELETE FROM calendar_sync.schema_migration")
        assert [migration.version for migration in missing_migrations(connection)] == VERSIONS


def test_every_statement_fits_the_migrated_schema(database_url: str) -> None:
    refused = {}
    with psycopg.connect(database_url) as connection:
        for name in STATEMENTS:
            answer = connection.pgconn.prepare(b"", in_postgres_form(statement(name).as_string()).encode())
            if answer.status != psycopg.pq.ExecStatus.COMMAND_OK:
                refused[name] = answer.error_message.decode()
            connection.rollback()
    assert refused == {}


def in_postgres_form(text: str) -> str:
    """The statement with `$1`, `$2` … in place of the driver's named parameters."""
    numbers: dict[str, str] = {}
    numbered = re.sub(r"%\((\w+)\)s", lambda name: numbers.setdefault(name[1], f"${len(numbers) + 1}"), text)
    return numbered.replace("%%", "%")
