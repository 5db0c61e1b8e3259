"""The beginning and the end of a grant. One Google account may stand behind several connections: they take turns."""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from enum import Enum

import structlog
from psycopg_pool import ConnectionPool
from tenacity import RetryError, Retrying, retry_if_result, stop_after_delay, wait_random

from outbox.access import UserGrant, read_grant
from outbox.connections import Account, begin_disconnect, leave_for_good, store_grant, tenants_wishes
from outbox.crypto import MissingKey, TokenCipher, UnreadableToken
from outbox.database import Connection
from outbox.google.oauth import GoogleOAuth, RevokeAnswer, Tokens
from outbox.statements import statement
from outbox.user import User

log = structlog.get_logger(__name__)

TURN_SECONDS = 40.0
"""Longer than a turn can last: three requests to the revocation endpoint with the waits between, or two to the list."""

GIVE_UP_SECONDS = 86400.0
"""For so long the revocation of an abandoned grant is tried again where Google does not answer."""


class Revocation(Enum):
    """What became of a grant at Google when its connection ended; the values are stored."""

    REVOKED = "revoked"
    SHARED = "shared"
    """Kept, because another connection lives on the same Google account, and to revoke one ends all."""
    DEAD = "dead"
    """It had ended already."""
    UNANSWERED = "unanswered"
    """Google did not answer; the tokens are gone here, and the user can remove the access at Google."""
    REFUSED = "refused"
    """Google refused, or the stored token could not be read; likewise."""
    NOTHING = "nothing"
    """There was no connection."""
    PENDING = "pending"
    """Not yet: the events are removed first. Never stored."""


class GrantEndedError(Exception):
    """The new grant was revoked, by whoever shares the Google account, before it was kept: consent is needed again."""


class AccountBusyError(Exception):
    """Somebody else's turn on the Google account did not end in time: try again in a moment."""


@dataclass(frozen=True, slots=True)
class AbandonedGrant:
    """A grant that its user gave up for another account; the token is encrypted."""

    grant_id: int
    tenant_id: str
    user_id: str
    account_id: str
    refresh_token: bytes = field(repr=False)
    age_seconds: float


class Grants:
    """Keeps and ends grants. Serves the web app and the daemon alike."""

    def __init__(self, pool: ConnectionPool[Connection], cipher: TokenCipher, oauth: GoogleOAuth) -> None:
        self._pool = pool
        self._cipher = cipher
        self._oauth = oauth
        # A turn holds one connection and takes another now and then: some have to stay free for that.
        self._turns = threading.BoundedSemaphore(max(1, pool.max_size // 2))

    def keep(self, user: User, tokens: Tokens, account: Account, still_good: Callable[[], bool]) -> str:
        """Keep a new grant; returns the connection's state, "active", "choose_calendar" or "calendar_lost".

        Args:
            still_good: asks Google whether the new access token works. Asked during the account's turn, because
                somebody who shares the account may have revoked everything since the code was exchanged.

        Raises:
            GrantEndedError: it does not work any more.
            AccountBusyError: the account's turn did not come.
            ValueError: there is no refresh token.
        """
        with self._turn(account.account_id):
            if not still_good():
                raise GrantEndedError("the grant was revoked before it was kept")
            return store_grant(self._pool, self._cipher, user, account, tokens)

    def disconnect(self, user: User, *, remove_events: bool) -> Revocation:
        """End the user's connection, or begin to: with `remove_events` the daemon removes our events first, if it can.

        Where the grant is dead or the calendar is lost there is nothing that it could remove with.

        Raises:
            AccountBusyError: the account's turn did not come; nothing was changed.
        """
        if remove_events and begin_disconnect(self._pool, user):
            return Revocation.PENDING
        return self.end(user)

    def end(self, user: User, *, only_if_emptied: bool = False) -> Revocation:
        """Revoke the user's grant, unless somebody else lives on it, and clear it here whatever Google says.

        Args:
            only_if_emptied: do nothing unless the user is being disconnected at this moment and nothing is left to
                remove; connecting again may have come between. Does not wait for the turn: whoever has it may be ending
                this very grant, and others are to be ended too.

        Raises:
            AccountBusyError: the account's turn did not come; nothing was changed.
        """
        while True:
            seen = self._grant(user)
            if seen is None:
                return Revocation.NOTHING
            with self._turn(seen.account_id or "", wait=not only_if_emptied):
                # Read again: it may have been renewed before the turn came.
                grant = self._grant(user)
                if grant is None or grant.account_id != seen.account_id:
                    continue
                if only_if_emptied and not self._is_emptied(user):
                    return Revocation.NOTHING
                if not self._begin_end(user, grant):
                    continue
                revocation = self._revoke(grant, but_for=grant.connection_id)
                self._clear(user, grant, revocation)
                return revocation

    def revoke_abandoned(self, abandoned: AbandonedGrant, *, last_try: bool = False) -> Revocation:
        """Revoke a grant that its user gave up for another account, unless somebody lives on it.

        Args:
            last_try: forget it also if Google does not answer; else it is tried again for a day.
        """
        with self._turn(abandoned.account_id):
            revocation = self._revoke(abandoned, but_for=None)
        if revocation is Revocation.UNANSWERED and abandoned.age_seconds < GIVE_UP_SECONDS and not last_try:
            return revocation
        log.info("abandoned_grant_ended", revocation=revocation.value)
        with self._pool.connection() as connection:
            connection.execute(statement("leaving/delete_abandoned"), {"grant_id": abandoned.grant_id})
        return revocation

    def _is_emptied(self, user: User) -> bool:
        with self._pool.connection() as connection:
            return connection.execute(statement("leaving/done_disconnecting"), user.key).fetchone() is not None

    def _grant(self, user: User) -> UserGrant | None:
        with self._pool.connection() as connection:
            return read_grant(connection, user)

    def _revoke(self, grant: UserGrant | AbandonedGrant, *, but_for: int | None) -> Revocation:
        """During the turn of the grant's account. `but_for`: the connection that is about to end."""
        with self._pool.connection() as connection:
            sharers = connection.execute(
                statement("connection/count_sharers"),
                {"account_id": grant.account_id, "but_for_connection_id": but_for},
            ).fetchone()
        if sharers is not None and sharers[0] > 0:
            return Revocation.SHARED
        if grant.refresh_token is None:
            return Revocation.DEAD
        try:
            token = self._cipher.decrypt(
                grant.refresh_token, tenant_id=grant.tenant_id, user_id=grant.user_id, column="refresh_token"
            )
        except UnreadableToken as unreadable:
            if isinstance(unreadable, MissingKey) and isinstance(grant, AbandonedGrant):
                return Revocation.UNANSWERED  # nobody waits for it, and the key may be back in a moment
            log.error("token_unreadable_at_disconnect")
            return Revocation.REFUSED
        match self._oauth.revoke(token):
            case RevokeAnswer.REVOKED:
                return Revocation.REVOKED
            case RevokeAnswer.ENDED:
                return Revocation.DEAD
            case RevokeAnswer.REFUSED:
                return Revocation.REFUSED
            case RevokeAnswer.UNAVAILABLE:
                return Revocation.UNANSWERED

    def _begin_end(self, user: User, grant: UserGrant) -> bool:
        """On record before Google is asked, so that nobody takes the end for a breakdown; False: the grant changed."""
        key = {"connection_id": grant.connection_id, "grant_version": grant.grant_version}
        with tenants_wishes(self._pool, user.tenant_id) as connection:
            return connection.execute(statement("connection/end_connection"), key).rowcount > 0

    def _clear(self, user: User, grant: UserGrant, revocation: Revocation) -> None:
        with tenants_wishes(self._pool, user.tenant_id) as connection:
            left = connection.execute(statement("connection/count_events_left"), user.key).fetchone()
            cleared = connection.execute(
                statement("connection/clear_grant"),
                {
                    "connection_id": grant.connection_id,
                    "grant_version": grant.grant_version,
                    "revocation": revocation.value,
                    "events_left": 0 if left is None else left[0],
                },
            )
            if cleared.fetchone() == (True,):
                leave_for_good(connection, user, grant.calendar_id)

    @contextmanager
    def _turn(self, account_id: str, *, wait: bool = True) -> Iterator[None]:
        """Alone with a Google account; no transaction is open meanwhile, and no row is locked."""
        key = {"account_id": account_id}
        with self._turns, self._pool.connection() as connection:
            try:
                Retrying(
                    retry=retry_if_result(lambda got: not got),
                    wait=wait_random(0.05, 0.25),
                    stop=stop_after_delay(TURN_SECONDS if wait else 0.0),
                )(lambda: connection.execute(statement("connection/lock_account"), key).fetchone() == (True,))
            except RetryError:
                raise AccountBusyError("somebody else is connecting or disconnecting this Google account") from None
            try:
                yield
            finally:
                connection.execute(statement("connection/unlock_account"), key)
