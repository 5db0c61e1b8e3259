"""Whatever a role is not meant to do, it tries in vain; what it is meant to do, it can. (What is meant: test_roles.)"""

from collections.abc import Iterator

import psycopg
import pytest
from psycopg import errors, sql

from outbox.database import connect
from outbox.statements import statement
from tests.integration.test_roles import ALL, MAY, MAY_CALL, MAY_DRAW_FROM, ROLES
from web.demo.stage import DAEMON_LOGIN, login_url

Session = psycopg.Connection[tuple[object, ...]]

COLUMNS = """
SELECT relname, attname
FROM pg_class JOIN pg_attribute ON attrelid = pg_class.oid AND attnum > 0 AND NOT attisdropped
WHERE relnamespace = 'calendar_sync'::regnamespace AND relkind NOT IN ('S', 'i', 'I', 'c')
ORDER BY relname, attnum
"""

CALLS = """
SELECT proname, format('SELECT calendar_sync.%I(%s)', proname, (
    SELECT string_agg('NULL::' || format_type(type, NULL), ', ') FROM unnest(proargtypes) AS type
))
FROM pg_proc
WHERE pronamespace = 'calendar_sync'::regnamespace
"""

BY_COLUMN = {
    "SELECT": "SELECT {column} FROM {table} LIMIT 0",
    "INSERT": "INSERT INTO {table} ({column}) OVERRIDING SYSTEM VALUE SELECT NULL WHERE false",
    "UPDATE": "UPDATE {table} SET {column} = DEFAULT WHERE false",
}
BY_TABLE = {
    "DELETE": "DELETE FROM {table} WHERE false",
    "TRUNCATE": "TRUNCATE {table} CASCADE",
    "TRIGGER": "CREATE TRIGGER mine AFTER INSERT ON {table} EXECUTE FUNCTION suppress_redundant_updates_trigger()",
}
"""How each right is tried. It is judged before anything else, and none of these changes a row."""

REFUSED = (
    errors.InsufficientPrivilege,
    errors.ObjectNotInPrerequisiteState,
    errors.WrongObjectType,
    errors.GeneratedAlways,
)
"""The right is missing; or it is a view or a column of a kind that nobody can write."""

BEYOND = [
    "SET ROLE calendar_sync_producer",
    "SET ROLE calendar_sync_web",
    "SET ROLE calendar_sync_daemon",
    "SET ROLE calendar_sync_host",
    "SET ROLE {owner}",
    "ALTER ROLE calendar_sync_web BYPASSRLS",
    "GRANT calendar_sync_daemon TO calendar_sync_web",
    "CREATE ROLE mine",
    "CREATE SCHEMA mine",
    "CREATE TABLE calendar_sync.mine ()",
    "CREATE VIEW calendar_sync.mine AS SELECT 1",
    "CREATE FUNCTION calendar_sync.mine() RETURNS integer LANGUAGE sql AS 'SELECT 1'",
    "CREATE OR REPLACE FUNCTION calendar_sync.now() RETURNS timestamptz LANGUAGE sql AS 'SELECT pg_catalog.now()'",
    "DROP TABLE calendar_sync.outbox",
    "DROP SCHEMA calendar_sync CASCADE",
    "ALTER TABLE calendar_sync.job ADD COLUMN mine text",
    "ALTER TABLE calendar_sync.calendar_connection DISABLE TRIGGER follow_connection",
    "ALTER TABLE calendar_sync.calendar_connection DISABLE ROW LEVEL SECURITY",
    "DROP POLICY of_whom_the_web_app_acts_for ON calendar_sync.calendar_connection",
    "CREATE POLICY mine ON calendar_sync.calendar_connection USING (true)",
    "ALTER FUNCTION calendar_sync.visit_feed(bytea) OWNER TO calendar_sync_web",
    "SET session_replication_role = replica",
    "COPY (SELECT 1) TO PROGRAM 'true'",
    "COPY (SELECT 1) TO '/dev/null'",
    "SELECT pg_read_file('/etc/passwd')",
    "SELECT lo_import('/etc/passwd')",
    "SELECT * FROM pg_authid",
    "SELECT pg_reload_conf()",
]
"""What is no right to a table, and would be worth having to an intruder."""


@pytest.fixture
def owner(database_url: str) -> Iterator[Session]:
    with psycopg.connect(database_url, autocommit=True) as connection:
        yield connection


def become(owner: Session, role: str) -> Session:
    """As if that role had logged in: unlike with SET ROLE, the way back is closed to it."""
    owner.execute(sql.SQL("SET SESSION AUTHORIZATION {}").format(sql.Identifier(f"calendar_sync_{role}")))
    return owner


def can(session: Session, attempt: str) -> bool:
    """Whether the role may do it; nothing stays of it."""
    try:
        with session.transaction(force_rollback=True):
            session.execute(attempt)
    except REFUSED:
        return False
    except psycopg.Error:
        return True  # it may, and there it fails for what was tried with
    return True


@pytest.mark.parametrize("role", MAY)
def test_of_every_right_to_every_column_a_role_has_those_that_it_is_meant_to_have(owner: Session, role: str) -> None:
    columns = [(str(table), str(column)) for table, column in owner.execute(COLUMNS).fetchall()]
    become(owner, role)
    found, meant = set(), set()
    for table, column in columns:
        for privilege, attempt in BY_COLUMN.items():
            covered = MAY[role][table].get(privilege, frozenset())
            if covered == ALL or column in covered:
                meant.add((privilege, table, column))
            if can(owner, attempt.format(table=f"calendar_sync.{table}", column=column)):
                found.add((privilege, table, column))
    for table in {table for table, _ in columns}:
        meant |= {(privilege, table, "") for privilege in BY_TABLE if privilege in MAY[role][table]}
        found |= {
            (privilege, table, "")
            for privilege, attempt in BY_TABLE.items()
            if can(owner, attempt.format(table=f"calendar_sync.{table}"))
        }
    assert len(columns) > 150
    assert found == meant


@pytest.mark.parametrize("role", MAY)
def test_of_all_functions_and_sequences_a_role_can_use_those_that_it_is_meant_to_use(owner: Session, role: str) -> None:
    calls = owner.execute(CALLS).fetchall()
    sequences = owner.execute(
        "SELECT relname FROM pg_class WHERE relnamespace = 'calendar_sync'::regnamespace AND relkind = 'S'"
    ).fetchall()
    become(owner, role)
    assert {name for name, call in calls if can(owner, str(call))} == MAY_CALL[role]
    for (sequence,) in sequences:
        assert can(owner, f"SELECT nextval('calendar_sync.{sequence}')") == (sequence in MAY_DRAW_FROM[role]), sequence
        assert not can(owner, f"SELECT setval('calendar_sync.{sequence}', 1)"), sequence
        assert not can(owner, f"SELECT last_value FROM calendar_sync.{sequence}"), sequence


@pytest.mark.parametrize("role", MAY)
def test_beyond_its_tables_a_role_can_do_nothing(owner: Session, role: str) -> None:
    [[name]] = owner.execute("SELECT quote_ident(current_user)").fetchall()
    become(owner, role)
    mine = f"SET ROLE calendar_sync_{role}"
    assert [attempt for attempt in BEYOND if attempt != mine and can(owner, attempt.format(owner=name))] == []


def test_the_web_app_cannot_look_past_the_policies(owner: Session) -> None:
    web = become(owner, "web")
    web.execute("SET row_security = off")  # which means: fail rather than leave rows out
    with pytest.raises(errors.InsufficientPrivilege, match="would be affected by row-level security"):
        web.execute("SELECT FROM calendar_sync.calendar_connection")


def test_whoever_may_create_functions_elsewhere_has_the_administrator_run_none(owner: Session) -> None:
    owner.execute("CREATE TABLE public.caught AS SELECT current_user::text AS who WHERE false")
    owner.execute("GRANT INSERT ON public.caught TO PUBLIC; GRANT CREATE ON SCHEMA public TO calendar_sync_producer")
    owner.execute("DROP POLICY of_the_daemon ON calendar_sync.job")  # so that it is put up again, with format()
    become(owner, "producer").execute(
        "CREATE FUNCTION public.format(text, text) RETURNS text LANGUAGE sql AS"
        " $$ INSERT INTO public.caught VALUES (current_user); SELECT pg_catalog.format($1, VARIADIC ARRAY[$2]) $$"
    )
    owner.execute("RESET SESSION AUTHORIZATION")
    owner.execute(sql.SQL(ROLES.read_text(encoding="utf-8")))
    assert owner.execute("SELECT who FROM public.caught").fetchall() == []
    assert owner.execute("SELECT current_setting('search_path')").fetchone() == ('"$user", public',)


def test_whoever_may_create_functions_elsewhere_has_a_service_run_none(owner: Session, database_url: str) -> None:
    owner.execute("CREATE TABLE public.caught AS SELECT current_user::text AS who WHERE false")
    owner.execute("GRANT INSERT ON public.caught TO PUBLIC; GRANT CREATE ON SCHEMA public TO calendar_sync_producer")
    # A whole number of days fits this one better than the server's own.
    become(owner, "producer").execute(
        "CREATE FUNCTION public.make_interval(days smallint) RETURNS interval LANGUAGE sql AS"
        " $$ INSERT INTO public.caught VALUES (current_user); SELECT interval '0' $$"
    )
    owner.execute("RESET SESSION AUTHORIZATION")
    parameters = {"retention_days": 90, "after_tenant_id": "", "after_job_id": "", "limit": 10}
    owner.execute(
        "INSERT INTO calendar_sync.job (tenant_id, job_id, version, cancelled, payload, updated_at)"
        " VALUES ('acme', 'j', 1, false, '{}', now())"
    )
    with connect(login_url(database_url, DAEMON_LOGIN)) as daemon:
        daemon.execute(statement("janitor/delete_old_jobs"), parameters)
    assert owner.execute("SELECT who FROM public.caught").fetchall() == []
