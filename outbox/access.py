"""A connection's access token: decrypted for use, renewed before it expires or when Google no longer takes it."""

import structlog
from psycopg_pool import ConnectionPool

from outbox.crypto import MissingKey, TokenCipher, UnreadableToken
from outbox.database import Connection
from outbox.google.oauth import GoogleOAuth, Tokens
from outbox.lane import LaneConnection, Lease
from outbox.statements import statement
from outbox.trouble import OPERATOR_REST_SECONDS, Broken, Resting, Trouble, trouble_in_refresh

log = structlog.get_logger(__name__)

RENEW_SECONDS_BEFORE_EXPIRY = 300.0
"""Longer than a lease, so that a token never expires in the middle of a push."""


class Access:
    """Tokens of connections. Called by the holder of the connection's lane only, which makes renewals take turns."""

    def __init__(self, pool: ConnectionPool[Connection], cipher: TokenCipher, oauth: GoogleOAuth) -> None:
        self._pool = pool
        self._cipher = cipher
        self._oauth = oauth

    def access_token(self, lease: Lease, connection: LaneConnection, *, refused: bool = False) -> str | Trouble:
        """A token to call with, or why there is none.

        Args:
            refused: Google did not take the stored one, so that a new one is needed whatever its expiry says.
        """
        try:
            seconds_left = connection.access_token_seconds_left or 0.0
            if connection.access_token is not None and not refused and seconds_left > RENEW_SECONDS_BEFORE_EXPIRY:
                return self._decrypt(lease, connection, "access_token", connection.access_token)
            if connection.refresh_token is None:
                return Broken("needs_reconnect", "revoked")
            refresh_token = self._decrypt(lease, connection, "refresh_token", connection.refresh_token)
        except MissingKey:
            # For the operator to mend; one daemon with an outdated key list must not part users from their calendars.
            return Resting(OPERATOR_REST_SECONDS, "a key is missing from TOKEN_ENCRYPTION_KEYS", operators_matter=True)
        except UnreadableToken:
            return Broken("needs_reconnect", "key_lost")
        answer = self._oauth.refresh(refresh_token)
        if not isinstance(answer, Tokens):
            return trouble_in_refresh(answer)
        self._store(lease, connection, answer)
        return answer.access_token

    def record_trouble(self, lease: Lease, connection: LaneConnection, trouble: Trouble) -> None:
        """Write down what stops a connection, unless its grant or its calendar has changed since it was read."""
        name: str
        parameters: dict[str, object] = {
            "connection_id": connection.connection_id,
            "grant_version": connection.grant_version,
        }
        match trouble:
            case Broken():
                log.warning(
                    "connection_broken",
                    connection_id=connection.connection_id,
                    state=trouble.state,
                    reason=trouble.reconnect_reason,
                )
                name = "connection/break_connection"
                parameters |= {
                    "state": trouble.state,
                    "reconnect_reason": trouble.reconnect_reason,
                    "calendar_id": lease.calendar_id,
                }
            case Resting():
                level = log.error if trouble.operators_matter else log.info
                level(
                    "connection_rests",
                    connection_id=connection.connection_id,
                    seconds=trouble.seconds,
                    reason=trouble.reason,
                )
                name = "connection/cool_connection"
                parameters |= {"seconds": trouble.seconds}
        with self._pool.connection() as database:
            database.execute(statement(name), parameters)

    def _decrypt(self, lease: Lease, connection: LaneConnection, column: str, token: bytes) -> str:
        return self._cipher.decrypt(token, tenant_id=lease.tenant_id, user_id=connection.user_id, column=column)

    def _store(self, lease: Lease, connection: LaneConnection, tokens: Tokens) -> None:
        def encrypt(token: str | None, column: str) -> bytes | None:
            if token is None:
                return None
            return self._cipher.encrypt(token, tenant_id=lease.tenant_id, user_id=connection.user_id, column=column)

        with self._pool.connection() as database:
            database.execute(
                statement("connection/store_access_token"),
                {
                    "connection_id": connection.connection_id,
                    "grant_version": connection.grant_version,
                    "access_token": encrypt(tokens.access_token, "access_token"),
                    "refresh_token": encrypt(tokens.refresh_token, "refresh_token"),
                    "expires_in": tokens.expires_in,
                },
            )
