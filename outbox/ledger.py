"""The table of quotas: whoever changes what counts for an account or for the project holds its row meanwhile."""

import json
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import psycopg
from psycopg_pool import ConnectionPool, PoolTimeout

from outbox.database import Connection
from outbox.quota import Window
from outbox.statements import statement

PROJECT = "project"
"""The scope of all requests."""

OUT_OF_REACH = (psycopg.OperationalError, psycopg.InternalError, PoolTimeout)
"""What a transaction raises when the database, or somebody who holds a row, does not let it come to its end."""

CONNECTION_WAIT_SECONDS = 1.0
"""For a connection of the pool; the statement that bounds the rest says how long a lock is waited for."""


def account_scope(account_id: str | None, connection_id: int) -> str:
    """Google counts a user's requests whoever of ours sends them; a connection of unknown account counts by itself."""
    return f"connection:{connection_id}" if account_id is None else f"account:{account_id}"


@dataclass(frozen=True, slots=True)
class Page:
    """What counts for a scope, whose row is held, and what time it was when that was known."""

    scope: str
    window: Window
    now: float


@dataclass(frozen=True, slots=True)
class Draw:
    """What was drawn for an account, in a transaction that is not committed yet.

    Attributes:
        until: the second until which it counts, unless it is told what became of it.
        wait: seconds until it is worth to ask for what is missing; 0 if nothing is.
        asked_at: time.monotonic() before the database said that it was `now`.
    """

    units: int
    until: int
    wait: float
    asked_at: float
    now: float


@contextmanager
def quota_transaction(pool: ConnectionPool[Connection]) -> Iterator[Connection]:
    """A transaction about nothing but quotas: many wait for what it holds, so it neither waits nor lasts for long."""
    with pool.connection(timeout=CONNECTION_WAIT_SECONDS) as connection, connection.transaction():
        connection.execute(statement("budget/be_brief"))
        yield connection


def read_page(row: tuple[Any, ...]) -> Page:
    """A row as the locking statements return it."""
    scope, charges, paced_until, now = row
    return Page(scope, Window({int(second): int(units) for second, units in charges.items()}, paced_until), now)


def lock_pages(connection: Connection, scopes: Iterable[str]) -> dict[str, Page]:
    """Hold the rows of these scopes until the transaction ends."""
    rows = connection.execute(statement("budget/lock_quotas"), {"scopes": list(scopes)}).fetchall()
    return {page.scope: page for page in map(read_page, rows)}


def lock_free_pages(connection: Connection, scopes: Iterable[str]) -> dict[str, Page]:
    """Hold those of these rows that are there and that nobody else holds."""
    rows = connection.execute(statement("budget/lock_free_quotas"), {"scopes": list(scopes)}).fetchall()
    return {page.scope: page for page in map(read_page, rows)}


def store_pages(connection: Connection, pages: Iterable[Page]) -> None:
    """Write held rows back."""
    connection.execute(statement("budget/store_quotas"), _columns(list(pages)))


def _columns(pages: list[Page]) -> Mapping[str, Any]:
    return {
        "scopes": [page.scope for page in pages],
        "charges": [json.dumps({str(key): units for key, units in page.window.charges.items()}) for page in pages],
        "paced_until": [page.window.paced_until for page in pages],
        "idle_from": [float(max(page.window.charges, default=page.now)) for page in pages],
    }
