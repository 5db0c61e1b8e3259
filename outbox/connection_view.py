"""What a user is shown of a connection; reads only, and without the tenant's lock."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal

from psycopg.rows import class_row, dict_row
from psycopg_pool import ConnectionPool

from outbox.connections import JobFilter
from outbox.database import Connection
from outbox.grants import Revocation
from outbox.statements import statement
from outbox.trouble import RestReason
from outbox.user import User

ConnectionState = Literal[
    "not_connected", "choose_calendar", "active", "paused", "needs_reconnect", "calendar_lost", "disconnecting"
]
ReconnectReason = Literal["revoked", "missing_scope", "blocked_by_admin", "key_lost"]


@dataclass(frozen=True, slots=True)
class Progress:
    """How much is done of how much that was to be done when it began; later changes count in neither."""

    done: int
    total: int


@dataclass(frozen=True, slots=True)
class LeavingCalendar:
    """A calendar that is still to be emptied.

    Attributes:
        events: how many are still to be looked at there.
        total: of how many when it began to be emptied; None before, while the new calendar is filled.
        shared: a colleague syncs to it: what the colleague wants stays.
    """

    name: str
    events: int
    total: int | None = None
    shared: bool = False

    @property
    def progress(self) -> Progress | None:
        """How far the emptying has come, once it has begun."""
        return None if self.total is None else Progress(self.total - self.events, self.total)


@dataclass(frozen=True, slots=True)
class LastDisconnect:
    """How the last disconnect ended."""

    revocation: Revocation
    events_left: int


@dataclass(frozen=True, slots=True)
class ConnectionView:
    """A user's connection as the user sees it.

    Attributes:
        pending: jobs that wait to be pushed to the calendar.
        problems: jobs parked with a problem.
        filling: how far the calendar has been filled, or gone through; None when that is over. Parked is not done.
        resting_until: nothing is pushed until then; it goes on by itself.
        resting_reason: why; None also where nobody knows.
        leaving: calendars to be emptied: while disconnecting the chosen one, then former ones, the first left first.
        last_disconnect: until the next connect.
    """

    state: ConnectionState = "not_connected"
    reconnect_reason: ReconnectReason | None = None
    account_email: str | None = None
    calendar_id: str | None = None
    calendar_name: str | None = None
    scopes: tuple[str, ...] = ()
    connected_at: datetime | None = None
    last_pushed_at: datetime | None = None
    pending: int = 0
    problems: int = 0
    filling: Progress | None = None
    resting_until: datetime | None = None
    resting_reason: RestReason | None = None
    job_filter: JobFilter = "all"
    paused: bool = False
    leaving: tuple[LeavingCalendar, ...] = ()
    last_disconnect: LastDisconnect | None = None


@dataclass(frozen=True, slots=True)
class JobProblem:
    """A job that could not be pushed; `reason` is a sentence for the user, `id` changes when it is tried again.

    Attributes:
        since: when what could not be pushed came about.
        last_tried_at: when it was tried last; None if nobody knows, because it was before this was recorded.
    """

    id: str
    job_id: str
    job_number: str | None
    reason: str
    since: datetime
    last_tried_at: datetime | None = None


def read_connection(pool: ConnectionPool[Connection], user: User) -> ConnectionView:
    """The user's connection; one that never was looks like one that is over."""
    with pool.connection() as connection:
        with connection.cursor(row_factory=dict_row) as cursor:
            row = cursor.execute(statement("connection/read_view"), user.key).fetchone()
        if row is None:
            return ConnectionView()
        with connection.cursor(row_factory=class_row(LeavingCalendar)) as departures:
            leaving = tuple(departures.execute(statement("connection/read_departures"), user.key))
    return _view(row, leaving)


def read_problems(pool: ConnectionPool[Connection], user: User, *, limit: int = 100) -> list[JobProblem]:
    """What could not be pushed to the user's calendar, the oldest first."""
    with pool.connection() as connection, connection.cursor(row_factory=class_row(JobProblem)) as cursor:
        return cursor.execute(statement("connection/read_problems"), {**user.key, "limit": limit}).fetchall()


def colleagues_calendars(pool: ConnectionPool[Connection], user: User) -> frozenset[str]:
    """The ids of the calendars that other users of the tenant sync to."""
    with pool.connection() as connection:
        rows = connection.execute(statement("connection/read_colleagues_calendars"), user.key)
        return frozenset(calendar_id for (calendar_id,) in rows)


def _view(row: dict[str, Any], leaving: tuple[LeavingCalendar, ...]) -> ConnectionView:
    revocation, events_left = row.pop("revocation"), row.pop("events_left")
    last = None if revocation is None else LastDisconnect(Revocation(revocation), events_left or 0)
    done, total = row.pop("filling_done"), row.pop("filling_total")
    filling = None if total is None else Progress(done, total)
    row["scopes"] = tuple(row["scopes"])
    return ConnectionView(**row, filling=filling, leaving=leaving, last_disconnect=last)
