"""What a user's wishes change. Every function takes the tenant's lock before it reads, so that no job is missed."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from psycopg_pool import ConnectionPool

from outbox.crypto import TokenCipher
from outbox.database import Connection
from outbox.google.oauth import Tokens
from outbox.statements import statement


@dataclass(frozen=True, slots=True)
class User:
    """An office user of a tenant, as the host app's token names them."""

    tenant_id: str
    user_id: str


@dataclass(frozen=True, slots=True)
class Account:
    """The Google account behind a grant: the id of its primary calendar, which is its e-mail address."""

    account_id: str
    email: str


class NoCalendarToChooseError(Exception):
    """There is no connection that waits for a calendar: connect first, or it has one already."""


def store_grant(
    pool: ConnectionPool[Connection], cipher: TokenCipher, user: User, account: Account, tokens: Tokens
) -> str:
    """Keep a new grant; returns the new state: "active" if the account kept its calendar, else "choose_calendar".

    Raises:
        ValueError: the grant has no refresh token, so it would end within the hour.
    """
    if tokens.refresh_token is None:
        raise ValueError("the grant has no refresh token; ask for consent again with prompt=consent")

    def encrypt(token: str, column: str) -> bytes:
        return cipher.encrypt(token, tenant_id=user.tenant_id, user_id=user.user_id, column=column)

    with _tenants_wishes(pool, user.tenant_id) as connection:
        key = {"tenant_id": user.tenant_id, "user_id": user.user_id}
        before = connection.execute(statement("connection/read_calendar"), key).fetchone()
        row = connection.execute(
            statement("connection/store_grant"),
            {
                **key,
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
        if before is not None and before[0] not in (None, calendar_id):
            # What only this user wanted there, a colleague on the same calendar takes away.
            connection.execute(
                statement("connection/mark_upcoming"), {"tenant_id": user.tenant_id, "calendar_id": before[0]}
            )
        connection.execute(statement("connection/wake_lane"), {"tenant_id": user.tenant_id, "calendar_id": calendar_id})
    return str(state)


def choose_calendar(pool: ConnectionPool[Connection], user: User, *, calendar_id: str, calendar_name: str) -> None:
    """Take this calendar for a connection that waits for one, and mark every upcoming job of the tenant on it.

    Raises:
        NoCalendarToChooseError: nothing was changed.
        ValueError: the id is an alias or no calendar's id.
    """
    if calendar_id in ("primary", "", ".", ".."):
        raise ValueError(f"{calendar_id!r} is no real id; that of a primary calendar is the account's address")
    with _tenants_wishes(pool, user.tenant_id) as connection:
        lane = {"tenant_id": user.tenant_id, "calendar_id": calendar_id}
        chosen = connection.execute(
            statement("connection/choose_calendar"),
            {**lane, "user_id": user.user_id, "calendar_name": calendar_name},
        )
        if chosen.fetchone() is None:
            raise NoCalendarToChooseError(f"user {user.user_id} has no connection that waits for a calendar")
        connection.execute(statement("connection/add_lane"), lane)
        connection.execute(statement("connection/wake_lane"), lane)
        connection.execute(statement("connection/mark_upcoming"), lane)


@contextmanager
def _tenants_wishes(pool: ConnectionPool[Connection], tenant_id: str) -> Iterator[Connection]:
    """A transaction that is alone with the tenant's wishes, and ends with the due times of its lanes set right."""
    with pool.connection() as connection, connection.transaction():
        connection.execute(statement("connection/lock_tenant"), {"tenant_id": tenant_id})
        yield connection
        tenants = {"tenant_ids": [tenant_id]}
        connection.execute(statement("lane/lock_lanes"), tenants)
        connection.execute(statement("lane/schedule_lanes"), tenants)
