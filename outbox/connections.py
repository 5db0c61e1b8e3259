"""What a user's wishes change. Every change takes the tenant's lock before it reads, so that no job is missed."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Literal

import psycopg
from psycopg_pool import ConnectionPool

from outbox.access import UserGrant, read_grant
from outbox.crypto import TokenCipher
from outbox.database import Connection
from outbox.google.oauth import Tokens
from outbox.statements import statement
from outbox.user import User

JobFilter = Literal["all", "assigned"]

TEST_ABANDONED = "The calendar was left meanwhile, so the test was not carried out to its end. Start another one."
"""Why a test push ended whose calendar its user left."""


TENANT_BUSY = (psycopg.errors.LockNotAvailable, psycopg.errors.DeadlockDetected, psycopg.errors.QueryCanceled)
"""What a change is refused with while somebody else is long about the same tenant. The database itself is well."""


@dataclass(frozen=True, slots=True)
class Account:
    """The Google account behind a grant: the id of its primary calendar, which is its e-mail address."""

    account_id: str
    email: str


@dataclass(frozen=True, slots=True)
class ChosenCalendar:
    """A calendar of the user's own list: its real id, never an alias, and its name there."""

    id: str
    name: str

    def __post_init__(self) -> None:
        if self.id in ("primary", "", ".", ".."):
            raise ValueError(f"{self.id!r} is no real id; that of a primary calendar is the account's address")


class NotConnectedError(Exception):
    """There is no grant, or it is just being ended: connect first."""


class NotActiveError(Exception):
    """Nothing can be pushed now; the text is a sentence for the user."""


class GrantChangedError(Exception):
    """The account was changed since the choice was read: nothing was changed; read again."""


def store_grant(
    pool: ConnectionPool[Connection], cipher: TokenCipher, user: User, account: Account, tokens: Tokens
) -> str:
    """Keep a new grant; returns the new state: "active" if the account kept its calendar, "calendar_lost" if that was
    lost before, else "choose_calendar".

    The grant of another account that it replaces is put on record, for the daemon to revoke.

    Raises:
        ValueError: the grant has no refresh token, so it would end within the hour.
    """
    if tokens.refresh_token is None:
        raise ValueError("the grant has no refresh token; ask for consent again with prompt=consent")

    def encrypt(token: str, column: str) -> bytes:
        return cipher.encrypt(token, tenant_id=user.tenant_id, user_id=user.user_id, column=column)

    with tenants_wishes(pool, user.tenant_id) as connection:
        before = read_grant(connection, user)
        connection.execute(statement("connection/abandon_grant"), {**user.key, "account_id": account.account_id})
        row = connection.execute(
            statement("connection/store_grant"),
            {
                **user.key,
                "account_id": account.account_id,
                "account_email": account.email,
                "scopes": sorted(tokens.scopes),
                "refresh_token": encrypt(tokens.refresh_token, "refresh_token"),
                "access_token": encrypt(tokens.access_token, "access_token"),
                "expires_in": tokens.expires_in,
            },
        ).fetchone()
        if row is None:
            raise AssertionError("an upsert returns its row")
        state, calendar_id = row
        if before is not None and before.account_id != account.account_id:
            leave_for_good(connection, user, before.calendar_id)
        if calendar_id is not None:
            lane = {"tenant_id": user.tenant_id, "calendar_id": calendar_id}
            connection.execute(statement("connection/wake_lane"), lane)
            if before is not None and before.state == "disconnecting":
                _call_off_removal(connection, user, calendar_id)
    return str(state)


def change_preferences(
    pool: ConnectionPool[Connection],
    user: User,
    *,
    calendar: ChosenCalendar | None = None,
    grant_version: int | None = None,
    job_filter: JobFilter | None = None,
    paused: bool | None = None,
) -> None:
    """Change what is given, all of it or nothing. Another calendar is filled with every upcoming job, then the former
    one is emptied.

    Args:
        grant_version: of the grant whose list the calendar was found in.

    Raises:
        NotConnectedError: there is no grant.
        GrantChangedError: the grant is no longer that one.
    """
    with tenants_wishes(pool, user.tenant_id) as connection:
        before = read_grant(connection, user)
        if before is None or before.state == "disconnecting":
            raise NotConnectedError("there is no connection; connect first")
        if calendar is not None and grant_version is not None and grant_version != before.grant_version:
            raise GrantChangedError("the Google account was changed meanwhile; choose again")
        connection.execute(
            statement("connection/set_preferences"), {**user.key, "job_filter": job_filter, "paused": paused}
        )
        if calendar is not None:
            _take_calendar(connection, user, before, calendar)
        if job_filter not in (None, before.job_filter) and before.calendar_id is not None:
            _fill(connection, user, before.calendar_id)


def resync(pool: ConnectionPool[Connection], user: User) -> int:
    """Have every event of the user's calendar written again or looked at; how many jobs that are.

    Raises:
        NotActiveError: nothing can be pushed now.
    """
    with tenants_wishes(pool, user.tenant_id) as connection:
        grant = active_grant(connection, user)
        lane = {"tenant_id": user.tenant_id, "calendar_id": grant.calendar_id}
        # A push that begins holds the lane before it touches the pairs: so does this, and all lanes in their order.
        connection.execute(statement("lane/lock_lanes"), {"tenant_ids": [user.tenant_id]})
        connection.execute(statement("connection/doubt_pushed"), lane)
        return _fill(connection, user, grant.calendar_id)


def retry_problem(pool: ConnectionPool[Connection], user: User, problem_id: str) -> bool:
    """Try a parked job of the user's calendar again; False if there is no such problem, or no longer."""
    with tenants_wishes(pool, user.tenant_id) as connection:
        retried = connection.execute(
            statement("connection/retry_problem"), {**user.key, "generation": int(problem_id)}
        ).rowcount
    return retried > 0


def active_grant(connection: Connection, user: User) -> UserGrant:
    """The user's grant if something can be pushed with it now; else NotActiveError says what to do first."""
    grant = read_grant(connection, user)
    state = "not_connected" if grant is None else grant.state
    if grant is not None and state == "active" and not grant.paused:
        return grant
    raise NotActiveError(_FIRST["paused" if state == "active" else state])


_FIRST = {
    "not_connected": "Connect a Google account first.",
    "choose_calendar": "Choose a calendar first.",
    "paused": "Resume the sync first.",
    "needs_reconnect": "Reconnect your Google account first.",
    "calendar_lost": "Choose another calendar first.",
    "disconnecting": "This connection is being disconnected; connect again first.",
}


def leave_for_good(connection: Connection, user: User, calendar_id: str | None) -> None:
    """A user has no more access to the calendars that were chosen or being left: colleagues there take over what is
    theirs, and nothing waits where nobody is.
    """
    _abandon_tests(connection, user)
    left = {row[0] for row in connection.execute(statement("connection/drop_departures"), user.key)}
    for former in sorted(left | ({calendar_id} if calendar_id else set())):
        _mark_pushed(connection, user, former)
        connection.execute(statement("connection/drop_marks"), {"tenant_id": user.tenant_id, "calendar_id": former})


@contextmanager
def tenants_wishes(pool: ConnectionPool[Connection], tenant_id: str) -> Iterator[Connection]:
    """A transaction that is alone with the tenant's wishes, and ends with the due times of its lanes set right."""
    with pool.connection() as connection, connection.transaction():
        connection.execute(statement("connection/lock_tenant"), {"tenant_id": tenant_id})
        yield connection
        tenants = {"tenant_ids": [tenant_id]}
        connection.execute(statement("lane/lock_lanes"), tenants)
        connection.execute(statement("lane/schedule_lanes"), tenants)


def begin_disconnect(pool: ConnectionPool[Connection], user: User) -> bool:
    """Have everything removed that the user's connection put into calendars; False if there is no calendar that it can
    still write to, and nothing was changed.
    """
    with tenants_wishes(pool, user.tenant_id) as connection:
        if connection.execute(statement("connection/begin_disconnect"), user.key).fetchone() != (True,):
            return False
        for (calendar_id,) in connection.execute(statement("connection/read_departing"), user.key).fetchall():
            _mark_pushed(connection, user, calendar_id)
        connection.execute(statement("connection/empty_departures"), user.key)
        return True


def _call_off_removal(connection: Connection, user: User, calendar_id: str) -> None:
    """What had been removed comes back; a move goes on in its order: the former calendars are kept meanwhile."""
    connection.execute(statement("connection/return_to_calendar"), {**user.key, "calendar_id": calendar_id})
    kept = {row[0] for row in connection.execute(statement("connection/keep_departures"), user.key)}
    for former in sorted(kept | {calendar_id}):
        _fill(connection, user, former)


def _take_calendar(connection: Connection, user: User, before: UserGrant, calendar: ChosenCalendar) -> None:
    lane = {"tenant_id": user.tenant_id, "calendar_id": calendar.id}
    connection.execute(
        statement("connection/take_calendar"),
        {**user.key, "calendar_id": calendar.id, "calendar_name": calendar.name},
    )
    if calendar.id == before.calendar_id and before.state == "active":
        return  # its name may be new, nothing else is
    connection.execute(statement("connection/return_to_calendar"), {**user.key, "calendar_id": calendar.id})
    connection.execute(statement("connection/add_lane"), lane)
    connection.execute(statement("connection/wake_lane"), lane)
    _fill(connection, user, calendar.id)
    former = before.calendar_id
    if former in (None, calendar.id):
        return
    _abandon_tests(connection, user)
    if before.state == "calendar_lost":
        # We cannot empty it; a colleague who still can takes over.
        _mark_pushed(connection, user, str(former))
        connection.execute(statement("connection/drop_marks"), {"tenant_id": user.tenant_id, "calendar_id": former})
    else:
        _leave(connection, user, before)


def _abandon_tests(connection: Connection, user: User) -> None:
    connection.execute(statement("test_push/abandon"), {**user.key, "failure": TEST_ABANDONED})


def _leave(connection: Connection, user: User, grant: UserGrant) -> None:
    connection.execute(
        statement("connection/leave_calendar"),
        {**user.key, "calendar_id": grant.calendar_id, "calendar_name": grant.calendar_name},
    )


def _fill(connection: Connection, user: User, calendar_id: str | None) -> int:
    """Have the calendar filled, or gone through, from now on; returns how many marks that are."""
    lane = {"tenant_id": user.tenant_id, "calendar_id": calendar_id}
    marked = connection.execute(statement("connection/mark_upcoming"), lane).rowcount
    connection.execute(statement("connection/begin_filling"), lane)
    return marked


def _mark_pushed(connection: Connection, user: User, calendar_id: str) -> None:
    lane = {"tenant_id": user.tenant_id, "calendar_id": calendar_id}
    connection.execute(statement("connection/mark_pushed"), lane)
