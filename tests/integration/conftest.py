"""The engine in this process over a real Postgres, with the sandbox as Google over real HTTP, and a clock to set."""

import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, ExitStack, closing, contextmanager, nullcontext
from types import TracebackType
from typing import Any, Self
from uuid import uuid4

import psycopg
import pytest
from falcon.testing import TestClient
from psycopg.types.json import Jsonb
from psycopg_pool import ConnectionPool

from outbox.audit import Audit
from outbox.database import Connection, open_pool
from outbox.janitor import Janitor
from outbox.runtime import Daemon
from outbox.user import User
from outbox.verbs.status import read_status
from web.app import create_app
from web.demo.consent import Caller, Reply, connect_person
from web.demo.mishaps import read_calendar
from web.demo.people import Person
from web.demo.stage import Stage, adopt_stage
from web.sandbox.server import SandboxServer
from web.sandbox.specs import AccountSpec, CalendarSpec, FaultSpec

START = "2027-03-01T08:00:00-06:00"
END = "2027-03-01T18:00:00-06:00"


def job(number: str = "J-1", **changes: Any) -> dict[str, Any]:
    """A legal payload of one leg; `changes` replace top-level fields."""
    leg = {
        "summary": "Dallas → Memphis",
        "dispatch_window": {"start": START, "end": "2027-03-01T10:00:00-06:00"},
        "delivery_window": {"start": "2027-03-01T16:00:00-06:00", "end": END},
        "stops": [{"kind": "pickup", "name": "Warehouse 4", "address": "1201 Main St, Dallas", "window": None}],
    }
    return {"schema_version": 1, "job_number": number, "timezone": "America/Chicago", "legs": [leg], **changes}


CLOCK = """
CREATE TABLE public.test_clock AS SELECT interval '0' AS ahead;
GRANT SELECT ON public.test_clock TO PUBLIC;
CREATE OR REPLACE FUNCTION calendar_sync.now() RETURNS timestamptz LANGUAGE sql STABLE
    AS 'SELECT statement_timestamp() + (SELECT ahead FROM public.test_clock)';
"""


class InProcess:
    """The web app in this process, as a caller reaches it; put together when it is first asked, closed with `close`."""

    def __init__(self, stage: Stage) -> None:
        self._stage = stage
        self._client: TestClient | None = None
        self._open = ExitStack()

    def __call__(self, method: str, target: str, *, headers: Mapping[str, str], body: bytes = b"") -> Reply:
        """Ask, as `web.demo.consent.Http` says."""
        if self._client is None:
            self._client = TestClient(self._open.enter_context(closing(create_app(self._stage.web_settings))))
        path, _, query = target.partition("?")
        answer = self._client.simulate_request(
            method, path, query_string=query, headers=dict(headers), body=body or None
        )
        cookies = {name: cookie.value for name, cookie in answer.cookies.items()}
        return Reply(answer.status_code, answer.content, answer.headers.get("location", ""), cookies)

    def close(self) -> None:
        """Close the app if there is one."""
        self._open.close()


ORIGIN = "https://127.0.0.1"
"""Where users reach the app: https, so that cookies are those of production; this machine, as the sandbox wants it."""


class World:
    """One test's database, engine and users. Debounce is off unless `settings` says otherwise. A context manager."""

    def __init__(self, database_url: str, google: SandboxServer, settings: Mapping[str, str]) -> None:
        self.google = google
        self.database_url = database_url
        self.tenant = f"tenant-{uuid4().hex[:8]}"
        defaults = {"PUSH_DEBOUNCE_SECONDS": "0", "PUSH_MAX_WAIT_SECONDS": "0", "PUSH_CONCURRENCY": "4"}
        # The template of the test's database has the schema and the roles.
        self.stage = Stage(database_url, google, {**defaults, **settings}, public_base_url=ORIGIN, prepare=adopt_stage)
        self.stop = threading.Event()
        self.web = InProcess(self.stage)
        self._open = ExitStack()
        self._owners: list[Connection] = []
        self._pool: ConnectionPool[Connection] | None = None
        self._put_clock_in_our_hands()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.web.close()
        self.hang_up()

    def hang_up(self) -> None:
        """End our own sessions, which stand in the way of who copies or renames the database; more can be begun."""
        self._open.close()
        self._owners.clear()
        self._pool = None

    def caller(self, name: str, *, tenant: str | None = None) -> Caller:
        """User `name` of the tenant, signed in to the web app."""
        return self.stage.caller(self.web, User(tenant or self.tenant, name))

    def connect(self, name: str, *, calendar: str | None = None, tenant: str | None = None) -> str:
        """Connect user `name` of the tenant; returns the calendar's id (a new account's own unless named)."""
        email = f"{name}-{uuid4().hex[:8]}@example.com"
        calendars = () if calendar is None else (CalendarSpec(id=calendar, summary="Shared"),)
        account = AccountSpec(email=email, calendars=calendars)
        self.google.add_account(account)
        user = User(tenant or self.tenant, name)
        return connect_person(self.caller(name, tenant=tenant), Person(user, account, calendar))

    def commit(self, job_id: str, payload: object, event_type: str = "job.updated", tenant: str | None = None) -> int:
        """Commit one outbox row as any producer would; returns its id."""
        ((number,),) = self.execute(
            "INSERT INTO calendar_sync.outbox (tenant_id, job_id, event_type, payload) VALUES (%s, %s, %s, %s)"
            " RETURNING id",
            *(tenant or self.tenant, job_id, event_type, Jsonb(payload)),
        )
        return int(number)

    def engine(self) -> "Engine":
        """A daemon's parts with a pool of their own, driven by the test instead of by threads."""
        return Engine(self, open_pool(self.stage.settings.database_url, size=8))

    def sync(self) -> None:
        """Have a daemon that has just been started relay and push until nothing is due."""
        if self._pool is None:
            self._pool = self._open.enter_context(open_pool(self.stage.settings.database_url, size=8))
        with Engine(self, nullcontext(self._pool)) as engine:
            engine.sync()

    def events(self, calendar: str, reader: str | None = None) -> list[dict[str, Any]]:
        """What a reader of the calendar sees."""
        return read_calendar(self.google.calendar_url, self.google.user_token(reader or calendar), calendar)

    def titles(self, calendar: str, reader: str | None = None) -> list[str]:
        """The titles in the calendar, sorted."""
        return sorted(event["summary"] for event in self.events(calendar, reader))

    def advance(self, seconds: float) -> None:
        """Let time pass for everything that the database judges by its clock."""
        self.execute("UPDATE public.test_clock SET ahead = ahead + make_interval(secs => %s)", seconds)

    def execute(self, query: str, *parameters: Any) -> list[tuple[Any, ...]]:
        """Run a statement as the database's owner, in a session that no other thread uses meanwhile."""
        with self._owner() as connection:
            cursor = connection.execute(query, list(parameters))
            return cursor.fetchall() if cursor.description else []

    def fault(self, **spec: Any) -> None:
        """Have Google misbehave (see FaultSpec) until the test ends."""
        self.google.control("POST", "faults", FaultSpec(**spec).model_dump(mode="json"))

    def heal(self) -> None:
        """Have Google behave."""
        self.google.control("DELETE", "faults")

    def calls(self, calendar: str) -> list[tuple[str, int | str]]:
        """Method and answer of the daemon's requests that concern this calendar, oldest first."""
        entries = self.google.control("GET", "requests")["entries"]
        return [
            (entry["method"], entry["status"])
            for entry in entries
            if entry["actor"] == "project" and f"/calendars/{calendar.replace('@', '%40')}/" in entry["path"]
        ]

    def status(self) -> dict[str, Any]:
        """The figures of `calendar-sync status`."""
        with open_pool(self.database_url, size=1) as pool:
            return read_status(pool)

    @contextmanager
    def _owner(self) -> Iterator[Connection]:
        """A session that was used before, if there is one: to make one costs more than most statements."""
        try:
            connection = self._owners.pop()
        except IndexError:  # all are in use by other threads, or there is none yet
            connection = psycopg.connect(self.database_url, autocommit=True, prepare_threshold=None)
            self._open.callback(connection.close)
        yield connection
        self._owners.append(connection)  # not after a failure, which may be the session's own

    def _put_clock_in_our_hands(self) -> None:
        self.execute(CLOCK)


class Engine:
    """A daemon's relay, pusher and janitor without their threads, over the pool that is opened here."""

    def __init__(self, world: World, pool: AbstractContextManager[ConnectionPool[Connection]]) -> None:
        self._pool = pool
        self.stop = threading.Event()
        self._settings = world.stage.settings

    def __enter__(self) -> "Engine":
        self.pool = self._pool.__enter__()
        self.daemon = Daemon(self._settings, self.pool, self.stop)
        self.relay = self.daemon.relay
        self.pusher = self.daemon.pusher
        self.audit = Audit(self.pool, job_url_template=self._settings.job_url_template)
        self.janitor = Janitor(self.pool, self.audit, retention_days=self._settings.job_retention_days)
        return self

    def __exit__(self, *exception: object) -> None:
        self.pusher.finish(30)
        self._pool.__exit__(None, None, None)

    def sync(self) -> None:
        """Relay and push until nothing is due."""
        self.daemon.drain(wait_for_quota=False)


def eventually(condition: Callable[[], bool], seconds: float = 30.0) -> None:
    """Wait until the condition holds; fails after the bound."""
    deadline = time.monotonic() + seconds
    pause = threading.Event()
    while not condition():
        assert time.monotonic() < deadline, "it did not happen in time"
        pause.wait(0.02)


@pytest.fixture(scope="session")
def google_process() -> Iterator[SandboxServer]:
    """One sandbox for all tests of this worker; accounts are each test's own."""
    with SandboxServer() as server:
        yield server


@pytest.fixture
def google(google_process: SandboxServer) -> Iterator[SandboxServer]:
    """The sandbox, healthy before and after."""
    yield google_process
    google_process.control("DELETE", "faults")


@pytest.fixture
def make_world(database_url: str, google: SandboxServer) -> Iterator[Callable[..., World]]:
    """Make the test's world with settings of its own."""
    with ExitStack() as worlds:

        def make(**settings: str) -> World:
            return worlds.enter_context(World(database_url, google, settings))

        yield make


@pytest.fixture
def world(make_world: Callable[..., World]) -> World:
    """The test's world with the default settings of tests."""
    return make_world()
