"""Everything that a user's browser meets, as processes of their own: Google's stand-in, the web app, a daemon."""

import socket
from contextlib import ExitStack
from datetime import UTC, date, datetime, timedelta
from types import TracebackType
from typing import Any, Literal, Self
from urllib.parse import urlsplit
from uuid import uuid4

import psycopg
import requests
from psycopg.types.json import Jsonb

from outbox.user import User
from web.demo.consent import NetworkHttp, Reply
from web.demo.people import NEWCOMER, Person
from web.demo.roster import roster_of
from web.demo.stage import Stage
from web.sandbox.model import Role
from web.sandbox.server import SandboxServer
from web.sandbox.specs import AccountSpec, CalendarSpec, FaultKind, FaultSpec, RoleSpec

AT_ONCE = {
    "PUSH_DEBOUNCE_SECONDS": "0",
    "PUSH_MAX_WAIT_SECONDS": "0",
    "PUSH_CONCURRENCY": "4",
    "GOOGLE_USER_QUOTA_PER_MINUTE": "6000",
}
"""Nobody edits a job twenty times here, so nothing waits for more edits; nor for quota."""

BACKLOG_AT_ONCE = 50
"""The first jobs of a backlog, which the daemon pushes and settles in one go, or in a few where it waits for quota."""


def person(tenant_id: str, user_id: str, *shared: CalendarSpec) -> Person:
    """A user with a Google account of two calendars, the account's own and one named Jobs, and of those shared."""
    email = f"{user_id}@{tenant_id}.example.com"
    jobs = CalendarSpec(id=f"jobs-{user_id}@{tenant_id}.example.com", summary="Jobs", time_zone="America/Chicago")
    account = AccountSpec(email=email, time_zone="America/Chicago", calendars=(jobs, *shared))
    return Person(User(tenant_id, user_id), account, jobs.id)


ROBIN, ANA = person("acme-freight", NEWCOMER), person("acme-freight", "u_ana")
"""Two of the demo's sample users: the one who has connected nothing yet, and a colleague."""


def job(number: str, way: str, days: int, location: str = "1201 Main St, Dallas, TX 75202") -> dict[str, Any]:
    """A job's payload: a drive of ten hours that starts in so many days."""
    start = (datetime.now(UTC) + timedelta(days=days)).replace(hour=14, minute=0, second=0, microsecond=0)
    leg = {
        "summary": way,
        "dispatch_window": {"start": start.isoformat(), "end": (start + timedelta(hours=2)).isoformat()},
        "delivery_window": {"start": (start + timedelta(hours=8)).isoformat(), "end": _hours(start, 10)},
        "stops": [{"kind": "pickup", "name": "Warehouse 4", "address": location, "window": None}],
    }
    return {"schema_version": 1, "job_number": number, "timezone": "America/Chicago", "legs": [leg]}


Entry = tuple[str, date, date]
"""What people see of an event: the title, the start and the end."""


def _hours(start: datetime, hours: int) -> str:
    return (start + timedelta(hours=hours)).isoformat()


class Stack:
    """The running parts over a migrated database. A context manager."""

    def __init__(self, database_url: str) -> None:
        self._open = ExitStack()
        try:
            self._start(database_url)
        except BaseException:
            self._open.close()
            raise

    def _start(self, database_url: str) -> None:
        self.google = self._open.enter_context(SandboxServer())
        for account in (ROBIN.account, ANA.account):
            self.google.add_account(account)
        listener = self._open.enter_context(socket.socket())
        listener.bind(("127.0.0.1", 0))
        self.origin = f"http://127.0.0.1:{listener.getsockname()[1]}"
        self.stage = Stage(database_url, self.google, AT_ONCE, public_base_url=self.origin)
        self._open.enter_context(self.stage.start_web(listener, roster_of(self.google.url, [ANA], [ROBIN])))
        self._open.enter_context(self.stage.start_daemon())
        self._http = self._open.enter_context(NetworkHttp(self.origin))

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._open.close()

    def newcomer(self) -> Person:
        """A user of a new tenant, whose Google account has just been made."""
        someone = person(f"tenant-{uuid4().hex[:8]}", NEWCOMER)
        self.google.add_account(someone.account)
        return someone

    def colleagues(self) -> tuple[Person, Person, str]:
        """Two users of a tenant that nobody else uses, and a calendar that both of their accounts have besides."""
        tenant_id = "northside-hauling"
        board = CalendarSpec(id=f"board@{tenant_id}.example.com", summary="Dispatch board", time_zone="America/Chicago")
        first, second = person(tenant_id, NEWCOMER, board), person(tenant_id, "u_ben", board)
        for someone in (first, second):
            self.google.add_account(someone.account)
        return first, second, board.id

    def shared_calendar(self, someone: Person) -> str:
        """Share with this person a new calendar that a colleague has chosen already; returns its id."""
        tenant_id = someone.user.tenant_id
        board = CalendarSpec(id=f"board@{tenant_id}.example.com", summary="Dispatch board")
        account = AccountSpec(email=f"u_ben@{tenant_id}.example.com", calendars=(board,))
        self.google.add_account(account)
        self.connect(Person(User(tenant_id, "u_ben"), account, board.id))
        shared = RoleSpec(account=someone.account.email, role=Role.WRITER)
        self.google.control("POST", f"calendars/{board.id}/role", shared.model_dump(mode="json"))
        return board.id

    def connect(self, *people: Person) -> None:
        """Have these people connect and choose their calendars, without a browser."""
        self.stage.connect(self._http, people)

    def session(self, user: User) -> str:
        """The token of a signed-in user's session."""
        return self.stage.caller(self._http, user).token

    def commit(self, tenant_id: str, *jobs: tuple[str, dict[str, Any]]) -> None:
        """Commit jobs (id and payload) in one transaction, as a producer does."""
        with psycopg.connect(self.stage.database_url) as connection, connection.cursor() as cursor:
            cursor.executemany(
                "INSERT INTO calendar_sync.outbox (tenant_id, job_id, event_type, payload)"
                " VALUES (%s, %s, 'job.updated', %s)",
                [(tenant_id, job_id, Jsonb(payload)) for job_id, payload in jobs],
            )

    def has_taken_over(self, tenant_id: str) -> bool:
        """Whether every job that was committed is on record, so that who connects now finds it."""
        with psycopg.connect(self.stage.database_url) as connection:
            waiting = connection.execute("SELECT FROM calendar_sync.outbox WHERE tenant_id = %s LIMIT 1", [tenant_id])
            return waiting.fetchone() is None

    def agenda(self, whose: Person, calendar_id: str) -> list[Entry]:
        """Everything that stands in a calendar at Google, as its user would find it."""
        address = f"{self.google.calendar_url}/calendars/{calendar_id}/events"
        headers = {"Authorization": f"Bearer {self.google.user_token(whose.account.email)}"}
        with requests.Session() as session:
            session.trust_env = False
            answer = session.get(address, params={"maxResults": "2500"}, headers=headers, timeout=30)
        answer.raise_for_status()
        return sorted(
            (event["summary"], *(datetime.fromisoformat(event[end]["dateTime"]) for end in ("start", "end")))
            for event in answer.json()["items"]
        )

    def fetch(self, address: str) -> Reply:
        """What a calendar app gets at a feed's address."""
        return self._http("GET", urlsplit(address).path, headers={})

    def slow_after_first(self, method: Literal["POST", "DELETE"], calendar_id: str) -> None:
        """Google takes its time over the writes after the first so many, until `heal`: a backlog is seen on its way."""
        slow = FaultSpec(kind=FaultKind.DELAY, method=method, calendar=calendar_id, seconds=0.4)
        self.fault(slow.model_copy(update={"seconds": 0, "count": BACKLOG_AT_ONCE}))  # the first rule that strikes wins
        self.fault(slow)

    def fault(self, spec: FaultSpec) -> None:
        """Have Google misbehave, until `heal`."""
        self.google.control("POST", "faults", spec.model_dump(mode="json"))

    def heal(self) -> None:
        """Have Google behave."""
        self.google.control("DELETE", "faults")

    def revoke(self, whose: Person) -> None:
        """The user takes our access away on Google's own page."""
        self.google.control("POST", "revoke", {"account": whose.account.email})
