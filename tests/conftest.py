"""One Postgres server for a whole run with a fresh database for each test; what a run left out, told at its end."""

from __future__ import annotations

import os
import threading
import traceback
from collections.abc import Iterator
from multiprocessing.connection import Client, Listener
from typing import Any, Literal, Protocol
from urllib.parse import urlsplit
from uuid import uuid4

import psycopg
import pytest
from hypothesis import settings
from psycopg import sql

from web.demo.embedded_postgres import EmbeddedPostgres

Request = Literal["url", "template", "stop"]

Admin = psycopg.Connection[tuple[Any, ...]]
"""A session that may create databases, in autocommit mode."""

NEEDS = "needs "
"""A skip's reason begins so, and goes on with what the machine lacks."""

LONGEST = ("test_story.py", "test_life.py", "test_fault_run.py", "test_demo.py", "test_cuts.py", "test_stop.py")
"""Modules with tests that take up to half a minute each."""

# A busy machine is no failure; a failure can be repeated elsewhere from what is printed.
settings.register_profile("project", deadline=None, print_blob=True)
settings.load_profile("project")


class PostgresForRun:
    """Answers the workers from the process that controls the run; with its end the embedded server ends.

    `url` is the server's, TEST_DATABASE_URL if that is given; `template` the name of a migrated database with the
    roles' rights and without sessions. Each is made when first asked for. Requests are served one after another by a
    single thread.
    """

    def __init__(self) -> None:
        self._embedded: EmbeddedPostgres | None = None
        self._url = os.environ.get("TEST_DATABASE_URL")
        self._template: str | None = None
        self._listener = Listener(family="AF_UNIX")
        self.address = str(self._listener.address)
        self._thread = threading.Thread(target=self._serve, name="postgres-for-run", daemon=True)
        self._thread.start()

    def join(self) -> None:
        self._thread.join()

    def _serve(self) -> None:
        with self._listener:
            request: Request | None = None
            while request != "stop":
                with self._listener.accept() as connection:
                    request = connection.recv()
                    try:
                        connection.send((True, self._answer(request)))
                    except Exception:  # noqa: BLE001 - the test that asked shows it, whatever it is
                        connection.send((False, traceback.format_exc()))

    def _answer(self, request: Request) -> str:
        match request:
            case "url":
                return self._server_url()
            case "template":
                self._template = self._template or self._make_template()
                return self._template
            case "stop":
                if self._embedded is not None:
                    self._embedded.stop()
                elif self._template is not None:
                    drop_database(self._server_url(), self._template)
                return ""

    def _server_url(self) -> str:
        if self._url is None:
            self._embedded = EmbeddedPostgres(fast=True)
            self._url = self._embedded.url
        return self._url

    def _make_template(self) -> str:
        from web.demo.stage import bring_up_to_date  # noqa: PLC0415 - only runs that use a database need it

        name = f"calendar_sync_template_{uuid4().hex}"
        create_database(self._server_url(), name)
        try:
            bring_up_to_date(of_database(self._server_url(), name))
        except BaseException:
            drop_database(self._server_url(), name)
            raise
        return name


class WorkerController(Protocol):
    """The part used here of what pytest-xdist gives for each worker."""

    workerinput: dict[str, object]
    config: pytest.Config


POSTGRES = pytest.StashKey[PostgresForRun]()


def pytest_configure(config: pytest.Config) -> None:
    if not hasattr(config, "workerinput"):
        config.stash[POSTGRES] = PostgresForRun()


@pytest.hookimpl(optionalhook=True)
def pytest_configure_node(node: WorkerController) -> None:
    node.workerinput["postgres_address"] = node.config.stash[POSTGRES].address


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_auto_num_workers() -> int:
    """Half of the time of these tests passes in waiting for other processes, for timers and for sockets."""
    return 2 * len(os.sched_getaffinity(0))


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The longest tests first, so that at the end nobody waits for them, and next to them those that share a browser.

    The first tests are those of one worker. It alone starts what only they need, and the others take over the rest.
    """
    items.sort(key=lambda item: (item.path.name not in LONGEST, item.path.parent.name != "browser"))


def pytest_unconfigure(config: pytest.Config) -> None:
    postgres = config.stash.get(POSTGRES, None)
    if postgres is not None:
        ask(postgres.address, "stop")
        postgres.join()


def pytest_sessionfinish(session: pytest.Session) -> None:
    reporter = session.config.pluginmanager.get_plugin("terminalreporter")
    if reporter is None or hasattr(session.config, "workerinput"):
        return
    if nothing_may_be_left_out() and reporter.stats.get("skipped") and session.exitstatus == pytest.ExitCode.OK:
        session.exitstatus = pytest.ExitCode.TESTS_FAILED


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    skipped = terminalreporter.stats.get("skipped", [])
    reasons = [str(report.longrepr[2]).removeprefix("Skipped: ") for report in skipped]
    left_out = [
        f"{report.nodeid}: {reason}"
        for report, reason in zip(skipped, reasons, strict=True)
        if reason.startswith(NEEDS) or nothing_may_be_left_out()
    ]
    terminalreporter.section("left out")
    for line in sorted(left_out) or ["nothing was left out"]:
        terminalreporter.line(line)


def nothing_may_be_left_out() -> bool:
    """Whether a skipped test fails the run, as where everything that tests need can be had."""
    return os.environ.get("CALENDAR_SYNC_LEAVE_NOTHING_OUT") == "1"


def ask(address: str, request: Request) -> str:
    """Asks the run's controller; fails the test with the controller's traceback if it cannot answer."""
    with Client(address, family="AF_UNIX") as connection:
        connection.send(request)
        answered, answer = connection.recv()
    if not answered:
        pytest.fail(f"no Postgres for this run: {answer}", pytrace=False)
    return str(answer)


def of_database(server_url: str, name: str) -> str:
    """The URL of another database of the same server."""
    return urlsplit(server_url)._replace(path=f"/{name}").geturl()


def create_database(server_url: str, name: str, *, template: str = "template1") -> None:
    """Creates a database as a copy of `template`, which must have no sessions."""
    with psycopg.connect(server_url, autocommit=True) as admin:
        _create(admin, name, template)


def _create(admin: Admin, name: str, template: str) -> None:
    statement = sql.SQL("CREATE DATABASE {} TEMPLATE {}").format(sql.Identifier(name), sql.Identifier(template))
    # Of a small database whole files are copied faster than blocks are logged; older servers always do so.
    strategy = sql.SQL(" STRATEGY FILE_COPY" if admin.info.server_version >= 150000 else "")
    admin.execute(statement + strategy)


def own(url: str) -> None:
    """Have a copy of the template push for whoever comes first, as a database does that has just been made."""
    with psycopg.connect(url, autocommit=True) as owner:
        owner.execute(
            "UPDATE calendar_sync.installation"
            " SET place = calendar_sync.database_place(), database_name = current_database()"
        )


def drop_database(server_url: str, name: str) -> None:
    """Drops a database and ends its sessions; fine if there is none of that name."""
    with psycopg.connect(server_url, autocommit=True) as admin:
        _drop(admin, name)


def _drop(admin: Admin, name: str) -> None:
    admin.execute(sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(sql.Identifier(name)))


@pytest.fixture(scope="session")
def postgres_address(request: pytest.FixtureRequest) -> str:
    """Where the run's controller answers questions about Postgres."""
    workerinput = getattr(request.config, "workerinput", None)
    return str(workerinput["postgres_address"]) if workerinput else request.config.stash[POSTGRES].address


@pytest.fixture(scope="session")
def server_url(postgres_address: str) -> str:
    """URL of a server, as a role that may create databases; it is the whole run's, so leave nothing on it."""
    return ask(postgres_address, "url")


@pytest.fixture(scope="session")
def template(postgres_address: str) -> str:
    """The name of the migrated database that each test's own is a copy of."""
    return ask(postgres_address, "template")


@pytest.fixture(scope="session")
def admin(server_url: str) -> Iterator[Admin]:
    """The session that makes and drops the tests' databases: to make one for each of them costs more than that."""
    with psycopg.connect(server_url, autocommit=True) as connection:
        yield connection


@pytest.fixture
def database_url(server_url: str, template: str, admin: Admin) -> Iterator[str]:
    """URL of a migrated database with roles, of this test's own, dropped afterwards whatever is still connected."""
    name = f"test_{uuid4().hex}"
    _create(admin, name, template)
    own(of_database(server_url, name))
    yield of_database(server_url, name)
    _drop(admin, name)
