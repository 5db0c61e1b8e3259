"""Counts the web app's own calls of the Calendar API. They are counted and never refused: somebody is waiting, and
there are few of them."""

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

import psycopg
import structlog
from psycopg_pool import ConnectionPool, PoolTimeout

from outbox.database import Connection, describe
from outbox.ledger import PROJECT, account_scope, lock_pages, store_pages
from outbox.quota import leaves_at
from outbox.statements import statement

log = structlog.get_logger(__name__)

LAST_ARRIVAL_SECONDS = 70.0
"""A request takes less than ten seconds, and one that nobody answered may still arrive within the minute after."""

LONGEST_WAIT_SECONDS = 2.0
"""For a connection of the pool: counting must not keep anybody waiting."""


class Tally:
    """The meter of the web app's requests. Threads share it."""

    def __init__(self, pool: ConnectionPool[Connection]) -> None:
        self._pool = pool
        self._account: ContextVar[str | None] = ContextVar("account", default=None)

    @contextmanager
    def on_behalf_of(self, account_id: str | None, connection_id: int) -> Iterator[None]:
        """What is asked in here counts for this account as well as for the project."""
        token = self._account.set(account_scope(account_id, connection_id))
        try:
            yield
        finally:
            self._account.reset(token)

    def take(self) -> bool:
        """Count one request; always true, also where it could not be counted."""
        scopes = [scope for scope in (self._account.get(), PROJECT) if scope is not None]
        try:
            with self._pool.connection(timeout=LONGEST_WAIT_SECONDS) as connection, connection.transaction():
                pages = lock_pages(connection, scopes)
                for page in pages.values():
                    page.window.charge(leaves_at(page.now + LAST_ARRIVAL_SECONDS), 1)
                store_pages(connection, pages.values())
                connection.execute(statement("budget/count_requests"), {"requests": 1})
        except (psycopg.Error, PoolTimeout) as error:
            log.warning("request_not_counted", error=describe(error))
        return True

    def over(self, *, answered: bool) -> None:
        """It was counted beforehand."""
