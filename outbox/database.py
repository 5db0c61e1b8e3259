"""Connections to the shared Postgres, guarded so that no fault of ours can hold it up."""

import math
import select
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, LiteralString
from weakref import WeakKeyDictionary

import psycopg
from psycopg.conninfo import make_conninfo
from psycopg_pool import ConnectionPool

from outbox.arrays import ADAPTERS

Connection = psycopg.Connection[tuple[Any, ...]]

GUARDS: LiteralString = (
    # What counts on a fresh snapshot for each statement has to get one, whatever the database's default is.
    r"-c default_transaction_isolation=read\ committed "
    "-c statement_timeout=30s -c lock_timeout=10s -c idle_in_transaction_session_timeout=30s -c timezone=UTC "
    # Whoever may create functions in a schema on the usual path would else have us run them, with our rights.
    "-c search_path=pg_catalog "
    # A client that vanished amid a pipeline leaves its session waiting to be sent more, and what it has locked, locked.
    "-c tcp_keepalives_idle=10 -c tcp_keepalives_interval=5 -c tcp_keepalives_count=3 "
    # Every statement has its index and costs about the same whatever its parameters are: so it is planned once a
    # session, and neither an empty table nor old statistics talk the planner out of the index.
    "-c plan_cache_mode=force_generic_plan -c enable_seqscan=off -c jit=off"
)
"""Of every session: a statement that takes longer, or a transaction left open, ends itself and is tried again."""

IDLE_SECONDS = 10.0
"""A connection that was used less than this ago is taken for alive unless its socket says otherwise."""

KEEPALIVES = {
    "connect_timeout": 10,
    "keepalives_idle": 10,
    "keepalives_interval": 5,
    "keepalives_count": 3,
    "tcp_user_timeout": 25_000,
}
"""A peer that vanished without a word is noticed within half a minute (seconds; tcp_user_timeout in milliseconds)."""


def connection_string(url: str, *, application_name: str) -> str:
    """The URL with our guards and keepalives added; what the URL sets itself wins, option by option."""
    given = psycopg.conninfo.conninfo_to_dict(url)
    ours: dict[str, Any] = {"application_name": application_name, **KEEPALIVES}
    added = {key: value for key, value in ours.items() if key not in given}
    return make_conninfo(url, **added, options=f"{GUARDS} {given.get('options') or ''}".strip())


TRANSACTION_LIMIT: LiteralString = (
    "SELECT set_config('transaction_timeout', '60s', false) WHERE current_setting('transaction_timeout') = '0'"
)
"""No idleness is counted in a pipeline that was flushed; the length of a transaction is, since PostgreSQL 17."""

KNOWS_TRANSACTION_LIMIT = 170_000
"""Server version."""


def connect(url: str, *, application_name: str = "calendar-sync") -> Connection:
    """One connection in autocommit mode: a transaction is only where the code says `connection.transaction()`."""
    return psycopg.connect(connection_string(url, application_name=application_name), autocommit=True, context=ADAPTERS)


@contextmanager
def open_pool(url: str, *, size: int, application_name: str = "calendar-sync") -> Iterator[ConnectionPool[Connection]]:
    """A pool of such connections; one that went stale is replaced before it is handed out.

    Raises:
        psycopg.OperationalError: the database cannot be reached now; later the pool waits for it.
    """
    connect(url, application_name=application_name).close()
    freshness = Freshness()
    with ConnectionPool(
        connection_string(url, application_name=application_name),
        min_size=1,
        max_size=size,
        open=True,
        timeout=10,
        max_idle=120,
        kwargs={"autocommit": True, "prepare_threshold": 0, "context": ADAPTERS},
        configure=lambda connection: _begin_using(connection, freshness),
        check=freshness,
        name=application_name,
    ) as pool:
        yield pool


@contextmanager
def pipelined_transaction(pool: ConnectionPool[Connection]) -> Iterator[Connection]:
    """A transaction whose statements are sent without waiting for the answers to those before, BEGIN and COMMIT too.

    `connection.transaction()` in a pipeline waits for the server three times more, whatever is done in it. Whatever
    fails, also the commit, is raised when an answer is read, at the end of the block at the latest; then nothing
    happened, and the connection's own end rolls back.
    """
    with pool.connection() as connection, connection.pipeline():
        connection.execute("BEGIN")
        yield connection
        connection.execute("COMMIT")


def _begin_using(connection: Connection, freshness: "Freshness") -> None:
    if connection.info.server_version >= KNOWS_TRANSACTION_LIMIT:
        connection.execute(TRANSACTION_LIMIT)
    freshness.note(connection)


class Freshness:
    """Whether a pooled connection can be handed out: a question to the server only where there is reason to ask.

    A session that the server ended has told its socket. One that was idle for long may have been forgotten on the way.
    """

    def __init__(self) -> None:
        self._used: WeakKeyDictionary[Connection, float] = WeakKeyDictionary()

    def __call__(self, connection: Connection) -> None:
        """Raises psycopg.OperationalError for one that is to be replaced."""
        fresh = time.monotonic() - self._used.get(connection, -math.inf) < IDLE_SECONDS
        if not fresh or _has_been_told(connection):
            ConnectionPool.check_connection(connection)
        self.note(connection)

    def note(self, connection: Connection) -> None:
        """It is used now, or has just been made."""
        self._used[connection] = time.monotonic()


def _has_been_told(connection: Connection) -> bool:
    """Whether there is something to be read that nobody asked for. (select would end at descriptor 1,023.)"""
    socket = select.poll()
    socket.register(connection.fileno(), select.POLLIN)
    return bool(socket.poll(0))


def describe(error: Exception) -> str:
    """What went wrong, for a log: the server's details are left out, because they repeat what is in the rows."""
    primary = error.diag.message_primary if isinstance(error, psycopg.Error) else None
    if primary is None:
        return " ".join(str(error).split())
    return f"{error.sqlstate}: {primary}" if isinstance(error, psycopg.Error) else primary
