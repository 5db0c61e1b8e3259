"""Each role can do what its part needs, and nothing that is another's."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import psycopg
import pytest
from psycopg import sql
from psycopg.errors import InsufficientPrivilege

from outbox.migrations import migrate
from tests.conftest import create_database, of_database
from tests.integration.conftest import eventually
from web.demo.embedded_postgres import EmbeddedPostgres
from web.demo.stage import create_roles

ROLES = Path(__file__).resolve().parents[2] / "sql" / "roles.sql"

INSERT = """
    INSERT INTO calendar_sync.outbox (tenant_id, job_id, event_type, payload)
    VALUES ('acme', 'j1', 'job.updated', '{}')
"""

Connection = psycopg.Connection[tuple[object, ...]]


@pytest.fixture
def owner(database_url: str) -> Iterator[Connection]:
    """The owner's session on a database with roles."""
    create_roles(database_url)
    with psycopg.connect(database_url, autocommit=True) as connection:
        yield connection


def become(owner: Connection, role: str) -> Connection:
    owner.execute(sql.SQL("SET ROLE {}").format(sql.Identifier(f"calendar_sync_{role}")))
    return owner


def names(owner: Connection, query: str) -> list[str]:
    found = [str(row[0]) for row in owner.execute(query)]
    assert found
    return found


def relations(owner: Connection, kind: str) -> list[str]:
    """Those of the schema, of a kind as `pg_class.relkind` has it."""
    return names(
        owner,
        f"SELECT relname FROM pg_class WHERE relnamespace = 'calendar_sync'::regnamespace AND relkind = '{kind}'",
    )


def refused(connection: Connection, statement: str) -> None:
    with pytest.raises(InsufficientPrivilege):
        connection.execute(statement)


def test_the_producer_may_insert_into_the_outbox(owner: Connection) -> None:
    become(owner, "producer").execute(INSERT)
    owner.execute("RESET ROLE")
    assert names(owner, "SELECT job_id FROM calendar_sync.outbox") == ["j1"]


def test_the_producer_may_not_choose_an_id_of_its_own(owner: Connection) -> None:
    columns, values = "(id, tenant_id, job_id, event_type, payload)", "VALUES (9, 'acme', 'j1', 'job.updated', '{}')"
    producer = become(owner, "producer")
    with pytest.raises(psycopg.errors.GeneratedAlways):
        producer.execute(f"INSERT INTO calendar_sync.outbox {columns} {values}")
    refused(producer, f"INSERT INTO calendar_sync.outbox {columns} OVERRIDING SYSTEM VALUE {values}")


def test_the_producer_may_do_nothing_else_to_any_table(owner: Connection) -> None:
    columns = {
        table: names(
            owner, f"SELECT attname FROM pg_attribute WHERE attrelid = 'calendar_sync.{table}'::regclass AND attnum > 0"
        )
        for table in relations(owner, "r")
    }
    views = relations(owner, "v")
    producer = become(owner, "producer")
    for table in columns:
        refused(producer, f"SELECT FROM calendar_sync.{table}")
        refused(producer, f"UPDATE calendar_sync.{table} SET {columns[table][0]} = DEFAULT")
        refused(producer, f"DELETE FROM calendar_sync.{table}")
        refused(producer, f"TRUNCATE calendar_sync.{table}")
        if table != "outbox":
            refused(producer, f"INSERT INTO calendar_sync.{table} DEFAULT VALUES")
    for view in views:
        refused(producer, f"SELECT FROM calendar_sync.{view}")


def test_the_producer_reads_back_nothing_that_it_inserts(owner: Connection) -> None:
    refused(become(owner, "producer"), f"{INSERT} RETURNING payload")


def test_the_producer_may_use_no_sequence_and_no_function_but_the_triggers(owner: Connection) -> None:
    sequences = relations(owner, "S")
    functions = names(
        owner,
        "SELECT proname FROM pg_proc WHERE pronamespace = 'calendar_sync'::regnamespace"
        " AND has_function_privilege('calendar_sync_producer', oid, 'EXECUTE')",
    )
    assert functions == ["notify_outbox"]
    producer = become(owner, "producer")
    for sequence in sequences:
        refused(producer, f"SELECT nextval('calendar_sync.{sequence}')")
        refused(producer, f"SELECT last_value FROM calendar_sync.{sequence}")
    refused(producer, "SELECT calendar_sync.now()")


@pytest.mark.parametrize("role", ["producer", "daemon", "web"])
@pytest.mark.parametrize(
    "statement",
    [
        "CREATE TABLE calendar_sync.mine ()",
        "CREATE FUNCTION calendar_sync.mine() RETURNS integer LANGUAGE sql AS 'SELECT 1'",
        "DROP TABLE calendar_sync.outbox",
        "ALTER TABLE calendar_sync.outbox ADD COLUMN mine text",
        "ALTER TABLE calendar_sync.outbox DISABLE TRIGGER notify_outbox",
        "CREATE TRIGGER mine AFTER INSERT ON calendar_sync.outbox EXECUTE FUNCTION calendar_sync.notify_outbox()",
        "DROP SCHEMA calendar_sync CASCADE",
        "TRUNCATE calendar_sync.outbox",
        "CREATE ROLE mine",
    ],
)
def test_nobody_but_the_owner_changes_the_schema(owner: Connection, role: str, statement: str) -> None:
    refused(become(owner, role), statement)


def test_the_daemon_makes_no_connections_and_chooses_no_calendars(owner: Connection) -> None:
    daemon = become(owner, "daemon")
    refused(
        daemon,
        "INSERT INTO calendar_sync.calendar_connection (tenant_id, user_id, state) VALUES ('t', 'u', 'not_connected')",
    )
    refused(daemon, "DELETE FROM calendar_sync.calendar_connection")
    refused(daemon, "INSERT INTO calendar_sync.lane (tenant_id, calendar_id) VALUES ('acme', 'c')")
    refused(daemon, "DELETE FROM calendar_sync.lane")
    for column in (
        "tenant_id",
        "user_id",
        "calendar_id",
        "account_id",
        "job_filter",
        "paused",
        "scopes",
        "grant_version",
    ):
        refused(daemon, f"UPDATE calendar_sync.calendar_connection SET {column} = DEFAULT")


def test_the_daemon_rewrites_no_rejected_row_and_no_history_of_migrations(owner: Connection) -> None:
    daemon = become(owner, "daemon")
    refused(daemon, "UPDATE calendar_sync.rejected_event SET reason = ''")
    refused(daemon, "DELETE FROM calendar_sync.schema_migration")
    refused(daemon, "UPDATE calendar_sync.schema_migration SET checksum = ''")


def test_the_web_app_reads_no_payload_and_no_event(owner: Connection) -> None:
    web = become(owner, "web")
    web.execute("SELECT tenant_id, job_id, cancelled, ends_at FROM calendar_sync.job")
    refused(web, "SELECT payload FROM calendar_sync.job")
    for column in ("event_id", "etag", "users_fields", "html_link"):
        refused(web, f"SELECT {column} FROM calendar_sync.pushed_event")
    for table in ("job", "outbox", "rejected_event", "pushed_event", "retired_event"):
        refused(web, f"SELECT * FROM calendar_sync.{table}")
        refused(web, f"DELETE FROM calendar_sync.{table}")


def test_the_web_app_takes_no_lease(owner: Connection) -> None:
    web = become(owner, "web")
    refused(web, "UPDATE calendar_sync.lane SET lease_token = gen_random_uuid()")
    refused(web, "UPDATE calendar_sync.lane SET lease_expires_at = NULL")
    refused(web, "DELETE FROM calendar_sync.lane")


def test_the_web_app_writes_no_job_and_no_outbox_row(owner: Connection) -> None:
    web = become(owner, "web")
    refused(web, INSERT)
    refused(web, "UPDATE calendar_sync.job SET cancelled = true")


def test_the_roles_cannot_log_in_and_own_nothing(owner: Connection) -> None:
    rows = owner.execute(
        "SELECT rolname, rolcanlogin, rolsuper, rolcreaterole, rolcreatedb, rolbypassrls FROM pg_roles"
        " WHERE rolname IN ('calendar_sync_producer', 'calendar_sync_daemon', 'calendar_sync_web')"
    ).fetchall()
    assert len(rows) == 3
    assert all(not any(row[1:]) for row in rows)


def test_whoever_has_no_role_sees_nothing(owner: Connection) -> None:
    open_to_all = owner.execute(
        "SELECT attname FROM pg_attribute JOIN pg_class ON attrelid = pg_class.oid, aclexplode(attacl)"
        " WHERE relnamespace = 'calendar_sync'::regnamespace AND grantee = 0"
        " UNION ALL SELECT proname FROM pg_proc, aclexplode(proacl)"
        " WHERE pronamespace = 'calendar_sync'::regnamespace AND grantee = 0"
        " UNION ALL SELECT relname FROM pg_class, aclexplode(relacl)"
        " WHERE relnamespace = 'calendar_sync'::regnamespace AND grantee = 0"
        " UNION ALL SELECT nspname FROM pg_namespace, aclexplode(nspacl)"
        " WHERE nspname = 'calendar_sync' AND grantee = 0"
    ).fetchall()
    assert open_to_all == []


def test_the_script_is_harmless_to_repeat(owner: Connection) -> None:
    privileges = (
        "SELECT string_agg(name || acl, ' ' ORDER BY name, acl) FROM ("
        " SELECT relname || '.' || attname AS name, attacl::text AS acl"
        " FROM pg_attribute JOIN pg_class ON attrelid = pg_class.oid WHERE relnamespace = 'calendar_sync'::regnamespace"
        " UNION ALL SELECT relname, relacl::text FROM pg_class WHERE relnamespace = 'calendar_sync'::regnamespace"
        " UNION ALL SELECT proname, proacl::text FROM pg_proc WHERE pronamespace = 'calendar_sync'::regnamespace"
        ") AS privileges"
    )
    before = names(owner, privileges)
    owner.execute(sql.SQL(ROLES.read_text(encoding="utf-8")))
    assert names(owner, privileges) == before


def test_two_databases_of_a_new_server_are_given_roles_at_the_same_time() -> None:
    with EmbeddedPostgres(fast=True) as server:
        first, second = of_database(server.url, "first"), of_database(server.url, "second")
        for name in ("first", "second"):
            create_database(server.url, name)
            migrate(of_database(server.url, name))
        with ThreadPoolExecutor(1) as thread, psycopg.connect(first) as slow, psycopg.connect(server.url) as watcher:
            slow.execute(sql.SQL(ROLES.read_text(encoding="utf-8")))
            waiting = thread.submit(create_roles, second)
            watcher.autocommit = True
            eventually(
                lambda: (
                    watcher.execute("SELECT FROM pg_locks WHERE NOT granted AND locktype = 'transactionid'").rowcount
                    > 0
                )
            )
            slow.commit()
            assert waiting.result(30).startswith("postgresql://calendar_sync_demo_daemon@")
