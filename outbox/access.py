"""A connection's access token: decrypted for use, renewed before it expires or when Google no longer takes it."""

from dataclasses import dataclass, field
from typing import Literal, Protocol

import structlog
from psycopg.rows import class_row
from psycopg_pool import ConnectionPool

from outbox.alarm import Alarm, Gate
from outbox.crypto import MissingKey, TokenCipher, UnreadableToken
from outbox.database import Connection
from outbox.google.oauth import GoogleOAuth, Tokens
from outbox.metrics import REFRESHED
from outbox.statements import statement
from outbox.trouble import OPERATOR_REST_SECONDS, Broken, Resting, Trouble, trouble_in_refresh
from outbox.user import User

log = structlog.get_logger(__name__)

RENEW_SECONDS_BEFORE_EXPIRY = 300.0
"""Longer than a lease, so that a token never expires in the middle of a push."""


class Grant(Protocol):
    """What it takes to call Google for a connection; tokens are encrypted."""

    @property
    def tenant_id(self) -> str: ...
    @property
    def user_id(self) -> str: ...
    @property
    def connection_id(self) -> int: ...
    @property
    def grant_version(self) -> int: ...
    @property
    def refresh_token(self) -> bytes | None: ...
    @property
    def access_token(self) -> bytes | None: ...
    @property
    def access_token_seconds_left(self) -> float | None: ...


@dataclass(frozen=True, slots=True)
class UserGrant:
    """A user's grant with what was chosen under it; tokens are encrypted, times are seconds from now."""

    tenant_id: str
    user_id: str
    connection_id: int
    state: str
    account_id: str | None
    account_email: str | None
    calendar_id: str | None
    calendar_name: str | None
    job_filter: Literal["all", "assigned"]
    paused: bool
    grant_version: int
    scopes: list[str]
    refresh_token: bytes | None = field(repr=False)
    access_token: bytes | None = field(repr=False)
    access_token_seconds_left: float | None


def read_grant(connection: Connection, user: User) -> UserGrant | None:
    """The user's grant as it is stored; None if there is none."""
    with connection.cursor(row_factory=class_row(UserGrant)) as cursor:
        return cursor.execute(statement("connection/read_grant"), user.key).fetchone()


class Access:
    """Tokens of connections. Two who renew at once each get a good token, because Google keeps the refresh token."""

    def __init__(self, pool: ConnectionPool[Connection], cipher: TokenCipher, oauth: GoogleOAuth) -> None:
        self._pool = pool
        self._cipher = cipher
        self._oauth = oauth
        self._gate = Gate()
        self.alarm = Alarm()
        """Tells the operator what is his to mend; shared by whoever shares this."""

    def read_grant(self, user: User) -> UserGrant | None:
        """The user's grant as it is stored; None if there is none."""
        with self._pool.connection() as connection:
            return read_grant(connection, user)

    def access_token(self, grant: Grant, *, refused: bool = False) -> str | Trouble:
        """A token to call with, or why there is none.

        Args:
            refused: Google did not take the stored one, so that a new one is needed whatever its expiry says.
        """
        try:
            if not refused and grant.access_token is not None and _lasts(grant):
                return self._decrypt(grant, "access_token", grant.access_token)
            if grant.refresh_token is None:
                return Broken("needs_reconnect", "revoked")
            return self._renew(grant, self._decrypt(grant, "refresh_token", grant.refresh_token))
        except MissingKey:
            # For the operator to mend; one daemon with an outdated key list must not part users from their calendars.
            return Resting(OPERATOR_REST_SECONDS, "a key is missing from TOKEN_ENCRYPTION_KEYS", operators_matter=True)
        except UnreadableToken:
            return Broken("needs_reconnect", "key_lost")

    def token_at_hand(self, grant: Grant) -> str | None:
        """The stored token, if it can be called with; None where `access_token` has more to do."""
        if grant.access_token is None or not _lasts(grant):
            return None
        try:
            return self._decrypt(grant, "access_token", grant.access_token)
        except (MissingKey, UnreadableToken):
            return None

    def record_trouble(self, grant: Grant, trouble: Trouble, *, calendar_id: str | None = None) -> None:
        """Write down what stops a connection, unless its grant has changed since it was read, or its calendar.

        Args:
            calendar_id: the calendar that was called, where one was.
        """
        key = {"connection_id": grant.connection_id, "grant_version": grant.grant_version, "calendar_id": calendar_id}
        match trouble:
            case Broken():
                broken = {"state": trouble.state, "reconnect_reason": trouble.reconnect_reason}
                with self._pool.connection() as database, database.transaction():
                    written = database.execute(statement("connection/break_connection"), key | broken).rowcount
                    if trouble.state == "calendar_lost":
                        database.execute(statement("connection/lose_departure"), key)
                if written:
                    log.warning(
                        "connection_broken",
                        connection_id=grant.connection_id,
                        state=trouble.state,
                        reason=trouble.reconnect_reason,
                    )
            case Resting():
                if trouble.operators_matter:
                    self.alarm.tell(trouble.reason)
                log.info(
                    "connection_rests",
                    connection_id=grant.connection_id,
                    seconds=trouble.seconds,
                    reason=trouble.reason,
                )
                rest = {"seconds": trouble.seconds, "why": trouble.why, "whole_account": trouble.of_account}
                with self._pool.connection() as database:
                    database.execute(statement("connection/cool_connection"), key | rest)

    def _renew(self, grant: Grant, refresh_token: str) -> str | Trouble:
        """Get a new token and keep it, unless the grant has changed meanwhile; the one way to renew."""
        if (closed := self._gate.closed()) is not None:
            reason, seconds = closed
            return Resting(seconds, reason, operators_matter=True, everybodys=True)
        answer = self._oauth.refresh(refresh_token)
        if isinstance(answer, Tokens):
            self._gate.open()
            REFRESHED["renewed"].inc()
            self._store(grant, answer)
            return answer.access_token
        trouble = trouble_in_refresh(answer)
        match trouble:
            case Broken():
                REFRESHED["broken"].inc()
                self._gate.open()  # our client was accepted, only this grant was not
            case Resting(operators_matter=True, everybodys=True):
                REFRESHED["operator"].inc()
                self._gate.close(trouble.reason, trouble.seconds)
            case Resting():
                REFRESHED["unanswered"].inc()
        return trouble

    def _decrypt(self, grant: Grant, column: str, token: bytes) -> str:
        return self._cipher.decrypt(token, tenant_id=grant.tenant_id, user_id=grant.user_id, column=column)

    def _store(self, grant: Grant, tokens: Tokens) -> None:
        def encrypt(token: str | None, column: str) -> bytes | None:
            if token is None:
                return None
            return self._cipher.encrypt(token, tenant_id=grant.tenant_id, user_id=grant.user_id, column=column)

        with self._pool.connection() as database:
            database.execute(
                statement("connection/store_access_token"),
                {
                    "connection_id": grant.connection_id,
                    "grant_version": grant.grant_version,
                    "access_token": encrypt(tokens.access_token, "access_token"),
                    "refresh_token": encrypt(tokens.refresh_token, "refresh_token"),
                    "expires_in": tokens.expires_in,
                },
            )


def _lasts(grant: Grant) -> bool:
    return (grant.access_token_seconds_left or 0.0) > RENEW_SECONDS_BEFORE_EXPIRY
