"""Each role can do what its part needs, and nothing that is another's."""

from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Literal
from uuid import UUID, uuid4

import psycopg
import pytest
from psycopg import sql
from psycopg.errors import InsufficientPrivilege

from outbox.migrations import migrate
from outbox.statements import statement
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


ALL: Literal["all"] = "all"

Rights = Mapping[str, Mapping[str, frozenset[str] | Literal["all"]]]
"""By table and privilege the columns that it covers; DELETE and the like cover all."""


def only(*columns: str) -> frozenset[str]:
    return frozenset(columns)


DAEMON_MAY: Rights = {
    "abandoned_grant": {"SELECT": ALL, "UPDATE": only("refresh_token"), "DELETE": ALL},
    "calendar_connection": {
        "SELECT": ALL,
        "UPDATE": only(
            "state",
            "reconnect_reason",
            "cannot_empty",
            "refresh_token",
            "access_token",
            "access_token_expires_at",
            "cooling_until",
            "cooling_reason",
            "lost_calendar_id",
        ),
    },
    "calendar_feed": {"SELECT": only("tenant_id", "user_id"), "DELETE": ALL},
    "calendar_writer": {"SELECT": ALL},
    "chosen_calendar": {"SELECT": ALL},
    "consent_attempt": {"SELECT": only("state_hash", "expires_at"), "DELETE": ALL},
    "departure": {"SELECT": ALL, "UPDATE": only("emptying_since", "total", "lost"), "DELETE": ALL},
    "figures": {"SELECT": ALL},
    "installation": {"SELECT": ALL, "UPDATE": only("client_id", "redirect_uri")},
    "job": {"SELECT": ALL, "INSERT": ALL, "UPDATE": ALL, "DELETE": ALL},
    "job_problem": {},
    "lane": {"SELECT": ALL, "UPDATE": ALL},
    "lane_due": {"SELECT": ALL},
    "notification": {
        "SELECT": only("id", "created_at"),
        "INSERT": only("tenant_id", "user_id", "kind", "reason"),
        "DELETE": ALL,
    },
    "outage": {"SELECT": ALL, "UPDATE": only("remind_at")},
    "outbox": {"SELECT": ALL, "INSERT": ALL, "UPDATE": ALL, "DELETE": ALL},
    "pending_push": {"SELECT": ALL, "INSERT": ALL, "UPDATE": ALL, "DELETE": ALL},
    "pushed_event": {"SELECT": ALL, "INSERT": ALL, "UPDATE": ALL, "DELETE": ALL},
    "quota": {"SELECT": ALL, "INSERT": ALL, "UPDATE": ALL, "DELETE": ALL},
    "rate_limit": {"SELECT": only("bucket", "refilled_at"), "DELETE": ALL},
    "rejected_event": {"SELECT": ALL, "INSERT": ALL, "DELETE": ALL},
    "request_hour": {"SELECT": ALL, "INSERT": ALL, "UPDATE": ALL, "DELETE": ALL},
    "retired_event": {"SELECT": ALL, "INSERT": ALL, "UPDATE": ALL, "DELETE": ALL},
    "schema_migration": {"SELECT": ALL},
    "staying_user": {"SELECT": ALL},
    "test_push": {
        "SELECT": ALL,
        "UPDATE": only("picked_up_at", "access_at", "written_at", "read_back_at", "removed_at", "failure"),
        "DELETE": ALL,
    },
    "token_refresh": {"SELECT": ALL, "UPDATE": only("due_at")},
    "users_calendar": {"SELECT": ALL},
}

WEB_MAY: Rights = {
    "abandoned_grant": {"INSERT": only("tenant_id", "user_id", "account_id", "refresh_token")},
    "calendar_connection": {"SELECT": ALL, "INSERT": ALL, "UPDATE": ALL},
    "calendar_feed": {
        "SELECT": ALL,
        "INSERT": only("tenant_id", "user_id", "token_hash", "job_filter"),
        "UPDATE": only("token_hash", "job_filter", "created_at", "last_fetched_at"),
        "DELETE": ALL,
    },
    "calendar_writer": {},
    "chosen_calendar": {},
    "consent_attempt": {"SELECT": ALL, "INSERT": ALL, "UPDATE": only("taken_at", "outcome")},
    "departure": {"SELECT": ALL, "INSERT": ALL, "UPDATE": ALL, "DELETE": ALL},
    "figures": {"SELECT": ALL},
    "installation": {"SELECT": ALL},
    "job": {"SELECT": only("tenant_id", "job_id", "cancelled", "ends_at")},
    "job_problem": {"SELECT": ALL},
    "lane": {
        "SELECT": ALL,
        "INSERT": only("tenant_id", "calendar_id"),
        "UPDATE": only(
            "due_at",
            "live_due_at",
            "not_before",
            "backlog_not_before",
            "failures",
            "filling_since",
            "filling_total",
        ),
    },
    "lane_due": {"SELECT": ALL},
    "notification": {},
    "outage": {},
    "outbox": {},
    "pending_push": {"SELECT": ALL, "INSERT": ALL, "UPDATE": ALL, "DELETE": ALL},
    "pushed_event": {
        "SELECT": only("tenant_id", "calendar_id", "job_id", "content_hash", "in_doubt"),
        "UPDATE": only("in_doubt"),
    },
    "quota": {"SELECT": ALL, "INSERT": ALL, "UPDATE": ALL},
    "rate_limit": {"SELECT": ALL, "INSERT": ALL, "UPDATE": ALL},
    "rejected_event": {},
    "request_hour": {"SELECT": ALL, "INSERT": ALL, "UPDATE": ALL},
    "retired_event": {},
    "schema_migration": {"SELECT": ALL},
    "staying_user": {"SELECT": ALL},
    "test_push": {"SELECT": ALL, "INSERT": ALL, "UPDATE": only("failure")},
    "token_refresh": {},
    "users_calendar": {"SELECT": ALL},
}

PRODUCER_MAY: Rights = {
    **{table: {} for table in DAEMON_MAY},
    "outbox": {"INSERT": only("tenant_id", "job_id", "event_type", "payload")},
}

HOST_MAY: Rights = {**{table: {} for table in DAEMON_MAY}, "notification": {"SELECT": ALL}}

MAY: Mapping[str, Rights] = {"producer": PRODUCER_MAY, "daemon": DAEMON_MAY, "web": WEB_MAY, "host": HOST_MAY}
"""What each role needs, thought about table by table: one that is not here fails until somebody has."""

MAY_CALL: Mapping[str, set[str]] = {
    "producer": {"notify_outbox"},
    "daemon": {
        "now",
        "database_place",
        "notify_outbox",
        "clear_grant",
        "next_reminder",
        "begin_disconnect",
        "erase_user",
        "erase_tenant",
        "oldest_transaction_seconds",
        "sees_every_tenant",
        "count_sharers",
    },
    "web": {
        "now",
        "database_place",
        "clear_grant",
        "enqueue_test_push",
        "begin_disconnect",
        "visit_feed",
        "feed_jobs",
        "oldest_transaction_seconds",
        "sees_every_tenant",
        "count_sharers",
    },
    "host": set(),
}

MAY_DRAW_FROM: Mapping[str, set[str]] = {
    "producer": set(),
    "daemon": {"mark_generation"},
    "web": {"mark_generation"},
    "host": set(),
}

OF_COLUMNS = ("SELECT", "INSERT", "UPDATE", "REFERENCES")
OF_TABLES = ("DELETE", "TRUNCATE", "TRIGGER")


@pytest.fixture
def owner(database_url: str) -> Iterator[Connection]:
    """The owner's session on a database with roles."""
    create_roles(database_url)
    with psycopg.connect(database_url, autocommit=True) as connection:
        yield connection


def become(owner: Connection, role: str) -> Connection:
    owner.execute(sql.SQL("SET ROLE {}").format(sql.Identifier(f"calendar_sync_{role}")))
    return owner


def web_for(owner: Connection, tenant_id: str = "acme", user_id: str = "u") -> Connection:
    """The web app's role, acting for a user."""
    owner.execute(statement("web/act_for").as_string(), {"tenant_id": tenant_id, "user_id": user_id, "presented": ""})
    return become(owner, "web")


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


@pytest.mark.parametrize("role", ["producer", "daemon", "web", "host"])
@pytest.mark.parametrize(
    "forbidden",
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
def test_nobody_but_the_owner_changes_the_schema(owner: Connection, role: str, forbidden: str) -> None:
    refused(become(owner, role), forbidden)


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
    refused(web, "SELECT * FROM calendar_sync.feed_selection('acme', NULL, now())")
    for column in ("event_id", "etag", "users_fields"):
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
        " WHERE rolname IN"
        " ('calendar_sync_producer', 'calendar_sync_daemon', 'calendar_sync_web', 'calendar_sync_host')"
    ).fetchall()
    assert len(rows) == 4
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


def rights(owner: Connection, role: str) -> Rights:
    """What a role can do to each table and view of the schema."""
    found: dict[str, dict[str, frozenset[str] | Literal["all"]]] = {}
    columns: dict[tuple[str, str], set[str]] = {}
    every: dict[str, set[str]] = {}
    for table, column, privilege, granted in owner.execute(
        "SELECT relname, attname, privilege, has_column_privilege(%s, pg_class.oid, attnum, privilege)"
        " FROM pg_class JOIN pg_attribute ON attrelid = pg_class.oid AND attnum > 0 AND NOT attisdropped,"
        " unnest(%s::text[]) AS privilege"
        " WHERE relnamespace = 'calendar_sync'::regnamespace AND relkind NOT IN ('S', 'i', 'I', 'c')",
        [role, list(OF_COLUMNS)],
    ):
        found.setdefault(str(table), {})
        every.setdefault(str(table), set()).add(str(column))
        if granted:
            columns.setdefault((str(table), str(privilege)), set()).add(str(column))
    for (table, privilege), covered in columns.items():
        found[table][privilege] = ALL if covered == every[table] else frozenset(covered)
    for table, privilege in owner.execute(
        "SELECT relname, privilege FROM pg_class, unnest(%s::text[]) AS privilege"
        " WHERE relnamespace = 'calendar_sync'::regnamespace AND relkind NOT IN ('S', 'i', 'I', 'c')"
        " AND has_table_privilege(%s, pg_class.oid, privilege)",
        [list(OF_TABLES), role],
    ):
        found[str(table)][str(privilege)] = ALL
    return found


def callable_by(owner: Connection, role: str) -> set[str]:
    rows = owner.execute(
        "SELECT proname FROM pg_proc WHERE pronamespace = 'calendar_sync'::regnamespace"
        " AND has_function_privilege(%s, oid, 'EXECUTE')",
        [role],
    )
    return {str(name) for (name,) in rows}


def sequences_of(owner: Connection, role: str) -> set[str]:
    rows = owner.execute(
        "SELECT relname FROM pg_class WHERE relnamespace = 'calendar_sync'::regnamespace"
        " AND CASE WHEN relkind = 'S' THEN has_sequence_privilege(%s, oid, 'USAGE, SELECT, UPDATE') END",
        [role],
    )
    return {str(name) for (name,) in rows}


@pytest.mark.parametrize("role", MAY)
def test_a_role_may_do_what_it_needs_and_nothing_else(owner: Connection, role: str) -> None:
    name = f"calendar_sync_{role}"
    found = rights(owner, name)
    for table, of_table in found.items():
        assert table in MAY[role], f"what does the {role} need of {table}?"
        assert of_table == MAY[role][table], table
    assert found.keys() == MAY[role].keys()
    assert callable_by(owner, name) == MAY_CALL[role]
    assert sequences_of(owner, name) == MAY_DRAW_FROM[role]


@pytest.mark.parametrize("role", MAY)
def test_a_role_may_hand_nothing_on_and_has_nothing_from_another_role(owner: Connection, role: str) -> None:
    name = f"calendar_sync_{role}"
    assert owner.execute("SELECT FROM pg_auth_members WHERE member = %s::regrole", [name]).fetchall() == []
    grantable = owner.execute(
        "SELECT relname FROM pg_class, aclexplode(relacl) WHERE grantee = %(role)s::regrole AND is_grantable"
        " UNION ALL SELECT proname FROM pg_proc, aclexplode(proacl) WHERE grantee = %(role)s::regrole AND is_grantable"
        " UNION ALL SELECT attname FROM pg_attribute, aclexplode(attacl)"
        " WHERE grantee = %(role)s::regrole AND is_grantable",
        {"role": name},
    ).fetchall()
    assert grantable == []
    assert owner.execute("SELECT has_schema_privilege(%s, 'calendar_sync', 'CREATE')", [name]).fetchone() == (False,)


def test_the_public_may_do_nothing_even_before_there_are_roles(database_url: str) -> None:
    with psycopg.connect(database_url, autocommit=True) as fresh:
        assert fresh.execute("SELECT has_schema_privilege('public', 'calendar_sync', 'USAGE, CREATE')").fetchone() == (
            False,
        )
        assert not any(rights(fresh, "public").values())
        assert not callable_by(fresh, "public") & {
            "clear_grant",
            "enqueue_test_push",
            "follow_connection",
            "remember_calendar",
            "begin_disconnect",
            "erase",
            "erase_user",
            "erase_tenant",
            "feed_selection",
            "visit_feed",
            "feed_jobs",
            "count_sharers",
        }
        assert sequences_of(fresh, "public") == set()


def test_the_public_may_call_nothing_once_there_are_roles(owner: Connection) -> None:
    # A function without an entry in its list may be called by everybody, so the list alone does not tell.
    assert callable_by(owner, "public") == set()
    assert not any(rights(owner, "public").values())


def test_what_runs_with_the_owners_rights_is_known_and_looks_names_up_where_nobody_else_writes(
    owner: Connection,
) -> None:
    rows = owner.execute(
        "SELECT proname, proconfig FROM pg_proc WHERE pronamespace = 'calendar_sync'::regnamespace AND prosecdef"
    ).fetchall()
    assert {str(name) for name, _ in rows} == {
        "clear_grant",
        "enqueue_test_push",
        "follow_connection",
        "remember_calendar",
        "begin_disconnect",
        "erase_user",
        "erase_tenant",
        "visit_feed",
        "feed_jobs",
        "count_sharers",
        "oldest_transaction_seconds",
    }
    assert all(settings == ["search_path=pg_catalog, pg_temp"] for _, settings in rows)


def test_the_daemon_reads_no_verifier_and_nothing_else_of_a_consent(owner: Connection) -> None:
    owner.execute(
        "INSERT INTO calendar_sync.consent_attempt"
        " (state_hash, tenant_id, user_id, browser_hash, code_verifier, return_to, expires_at)"
        " VALUES ('s', 'acme', 'u', 'b', 'v', '/', calendar_sync.now())"
    )
    columns = names(
        owner,
        "SELECT attname FROM pg_attribute WHERE attrelid = 'calendar_sync.consent_attempt'::regclass AND attnum > 0",
    )
    daemon = become(owner, "daemon")
    for column in set(columns) - {"state_hash", "expires_at"}:
        refused(daemon, f"SELECT {column} FROM calendar_sync.consent_attempt")
        refused(daemon, f"SELECT FROM calendar_sync.consent_attempt WHERE {column} IS NULL")
        refused(daemon, f"DELETE FROM calendar_sync.consent_attempt RETURNING {column}")
    refused(daemon, "SELECT attempt FROM calendar_sync.consent_attempt AS attempt")
    refused(daemon, "COPY calendar_sync.consent_attempt TO STDOUT")
    daemon.execute("DELETE FROM calendar_sync.consent_attempt WHERE expires_at <= calendar_sync.now()")


def test_the_web_app_changes_nothing_of_a_consent_but_that_it_ended(owner: Connection) -> None:
    web = become(owner, "web")
    for column in ("state_hash", "tenant_id", "user_id", "browser_hash", "code_verifier", "return_to", "expires_at"):
        refused(web, f"UPDATE calendar_sync.consent_attempt SET {column} = {column}")
    refused(web, "DELETE FROM calendar_sync.consent_attempt")
    refused(web, "DELETE FROM calendar_sync.calendar_connection")
    refused(web, "DELETE FROM calendar_sync.test_push")


def add_test_push(connection: Connection, tenant_id: str = "acme", job_id: str | None = None) -> str:
    test_push_id = str(uuid4())
    connection.execute(
        "INSERT INTO calendar_sync.test_push (test_push_id, tenant_id, user_id, calendar_id, job_id)"
        " VALUES (%s, %s, 'u', 'c', %s)",
        [test_push_id, tenant_id, job_id or f"calendar-sync-test:{test_push_id}"],
    )
    return test_push_id


def outbox(owner: Connection) -> list[tuple[object, ...]]:
    owner.execute("RESET ROLE")
    return owner.execute("SELECT tenant_id, job_id, event_type, payload FROM calendar_sync.outbox").fetchall()


def test_the_web_app_puts_test_pushes_into_the_outbox_and_no_job(owner: Connection) -> None:
    web = web_for(owner)
    # A view, a table or an operator of the caller's own is not looked at.
    web.execute("CREATE TEMPORARY TABLE test_push (test_push_id uuid, tenant_id text, job_id text)")
    web.execute("CREATE TEMPORARY TABLE outbox (LIKE pg_temp.test_push)")
    web.execute("SET search_path = pg_temp, calendar_sync")
    known, unknown = add_test_push(web), uuid4()
    web.execute("INSERT INTO pg_temp.test_push VALUES (%s, 'acme', 'job_1')", [unknown])
    web.execute("SELECT calendar_sync.enqueue_test_push(%s)", [known])
    web.execute("SELECT calendar_sync.enqueue_test_push(%s)", [unknown])
    web.execute("SELECT calendar_sync.enqueue_test_push(NULL)")
    assert outbox(owner) == [("acme", f"calendar-sync-test:{known}", "job.updated", {})]


@pytest.mark.parametrize("job_id", ["job_1", "calendar-sync-test:", f"calendar-sync-test:{UUID(int=1)}"])
def test_a_test_push_cannot_be_named_like_a_job_or_like_another_one(owner: Connection, job_id: str) -> None:
    with pytest.raises(psycopg.errors.CheckViolation):
        add_test_push(web_for(owner), job_id=job_id)


def test_a_test_push_on_record_is_not_moved_by_the_web_app(owner: Connection) -> None:
    web = web_for(owner)
    add_test_push(web)
    for column in ("tenant_id", "user_id", "calendar_id", "job_id", "written_at", "removed_at"):
        refused(web, f"UPDATE calendar_sync.test_push SET {column} = {column}")


def connections(owner: Connection) -> dict[object, tuple[object, ...]]:
    owner.execute("RESET ROLE")
    rows = owner.execute(
        "SELECT user_id, connection_id, state, grant_version, account_id, calendar_id, refresh_token, access_token,"
        " revocation, events_left FROM calendar_sync.calendar_connection"
    )
    return {row[0]: row[1:] for row in rows}


def add_connections(owner: Connection) -> dict[object, tuple[object, ...]]:
    for user in ("u_ana", "u_bo"):
        owner.execute(
            "INSERT INTO calendar_sync.calendar_connection"
            " (tenant_id, user_id, state, grant_version, account_id, calendar_id, refresh_token, access_token)"
            " VALUES ('acme', %s, 'active', 5, 'a', 'c', 'refresh', 'access')",
            [user],
        )
    return connections(owner)


@pytest.mark.parametrize("role", ["daemon", "web"])
def test_a_grant_is_cleared_only_by_who_knows_which_one_it_is(owner: Connection, role: str) -> None:
    before = add_connections(owner)
    of_ana = before["u_ana"][0]
    for connection_id, grant in ((of_ana, 4), (of_ana, 6), (of_ana, 0), (of_ana, None), (None, 5), (0, 5), (-1, 5)):
        arguments = [connection_id, grant]
        cleared = become(owner, role).execute(
            "SELECT calendar_sync.clear_grant(%s::bigint, %s::bigint, 'revoked', 0)", arguments
        )
        assert cleared.fetchone() == (False,)
        assert connections(owner) == before, arguments
    cleared = become(owner, role).execute("SELECT calendar_sync.clear_grant(%s::bigint, 5, 'revoked', 3)", [of_ana])
    assert cleared.fetchone() == (True,)
    after = connections(owner)
    assert after["u_ana"] == (of_ana, "not_connected", 6, None, None, None, None, "revoked", 3)
    assert after["u_bo"] == before["u_bo"]
    again = become(owner, role).execute("SELECT calendar_sync.clear_grant(%s::bigint, 5, 'dead', 0)", [of_ana])
    assert again.fetchone() == (False,)
    assert connections(owner) == after


def test_a_grant_cannot_be_cleared_with_a_word_that_means_nothing(owner: Connection) -> None:
    before = add_connections(owner)
    for ended in ("pending", "", "revoked'; DROP TABLE calendar_sync.lane; --"):
        with pytest.raises(psycopg.errors.CheckViolation):
            become(owner, "daemon").execute(
                "SELECT calendar_sync.clear_grant(%s::bigint, 5, %s, 0)", [before["u_ana"][0], ended]
            )
    assert connections(owner) == before


def test_the_producer_ends_no_grant_and_starts_no_test(owner: Connection) -> None:
    producer = become(owner, "producer")
    refused(producer, "SELECT calendar_sync.clear_grant(1, 1, 'revoked', 0)")
    refused(producer, f"SELECT calendar_sync.enqueue_test_push('{uuid4()}')")


def test_the_daemon_starts_no_test(owner: Connection) -> None:
    daemon = become(owner, "daemon")
    refused(daemon, f"SELECT calendar_sync.enqueue_test_push('{uuid4()}')")
    with pytest.raises(InsufficientPrivilege):
        add_test_push(daemon)
