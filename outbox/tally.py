"""Counts the web app's own calls of the Calendar API. They are counted and never refused: somebody is waiting, and
there are few of them."""

import math
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar

import structlog
from psycopg_pool import ConnectionPool

from outbox.acting import presenting
from outbox.database import Connection, describe
from outbox.ledger import OUT_OF_REACH, PROJECT, account_scope, lock_pages, quota_transaction, store_pages
from outbox.quota import leaves_at
from outbox.statements import statement

log = structlog.get_logger(__name__)

LAST_ARRIVAL_SECONDS = 70.0
"""A request takes less than ten seconds, and one that nobody answered may still arrive within the minute after."""

RETRY_SECONDS = 1.0
"""After a request could not be counted, nobody waits to count his for so long."""


class Tally:
    """The meter of the web app's requests. Threads share it."""

    def __init__(self, pool: ConnectionPool[Connection], clock: Callable[[], float] = time.monotonic) -> None:
        self._pool = pool
        self._clock = clock
        self._unreachable_until = -math.inf
        self._account: ContextVar[str | None] = ContextVar("account", default=None)

    @contextmanager
    def on_behalf_of(self, account_id: str | None, connection_id: int = 0) -> Iterator[None]:
        """What is asked in here counts for this account, or the connection if it is not known, and for the project."""
        token = self._account.set(account_scope(account_id, connection_id))
        try:
            yield
        finally:
            self._account.reset(token)

    def take(self) -> bool:
        """Count one request; always true, also where it could not be counted."""
        if self._clock() < self._unreachable_until:
            return True
        account = self._account.get()
        scopes = [scope for scope in (account, PROJECT) if scope is not None]
        try:
            with presenting(account or ""), quota_transaction(self._pool) as connection:
                pages = lock_pages(connection, scopes)
                for page in pages.values():
                    page.window.charge(leaves_at(page.now + LAST_ARRIVAL_SECONDS), 1)
                store_pages(connection, pages.values())
                connection.execute(statement("budget/count_requests"), {"requests": 1})
        except OUT_OF_REACH as error:
            self._unreachable_until = self._clock() + RETRY_SECONDS
            log.warning("request_not_counted", error=describe(error))
        return True

    def over(self, *, answered: bool) -> None:
        """It was counted beforehand."""
