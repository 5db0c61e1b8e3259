"""Connections to the shared Postgres, guarded so that no fault of ours can hold it up."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, LiteralString

import psycopg
from psycopg.conninfo import make_conninfo
from psycopg_pool import ConnectionPool

Connection = psycopg.Connection[tuple[Any, ...]]

GUARDS: LiteralString = (
    "-c statement_timeout=30s -c lock_timeout=10s -c idle_in_transaction_session_timeout=30s -c timezone=UTC"
)
"""Of every session: a statement that takes longer, or a transaction left open, ends itself and is tried again."""

KEEPALIVES = {
    "connect_timeout": 10,
    "keepalives_idle": 10,
    "keepalives_interval": 5,
    "keepalives_count": 3,
    "tcp_user_timeout": 25_000,
}
"""A peer that vanished without a word is noticed within half a minute (seconds; tcp_user_timeout in milliseconds)."""


def connection_string(url: str, *, application_name: str) -> str:
    """The URL with our guards and keepalives added; what the URL sets itself wins."""
    given = psycopg.conninfo.conninfo_to_dict(url)
    ours: dict[str, Any] = {"application_name": application_name, "options": GUARDS, **KEEPALIVES}
    return make_conninfo(url, **{key: value for key, value in ours.items() if key not in given})


def connect(url: str, *, application_name: str = "calendar-sync") -> Connection:
    """One connection in autocommit mode: a transaction is only where the code says `connection.transaction()`."""
    return psycopg.connect(connection_string(url, application_name=application_name), autocommit=True)


@contextmanager
def open_pool(url: str, *, size: int, application_name: str = "calendar-sync") -> Iterator[ConnectionPool[Connection]]:
    """A pool of such connections; one that went stale is replaced before it is handed out.

    Raises:
        psycopg.OperationalError: the database cannot be reached now; later the pool waits for it.
    """
    connect(url, application_name=application_name).close()
    with ConnectionPool(
        connection_string(url, application_name=application_name),
        min_size=1,
        max_size=size,
        open=True,
        timeout=30,
        max_idle=120,
        kwargs={"autocommit": True},
        check=ConnectionPool.check_connection,
        name=application_name,
    ) as pool:
        yield pool
