"""What monitoring shows of the database, and how far the loops have come; both are looked up when somebody asks."""

import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Protocol

import psycopg
import structlog
from prometheus_client.core import GaugeMetricFamily
from psycopg.rows import dict_row
from psycopg_pool import ConnectionPool, PoolTimeout

from outbox.database import Connection, describe
from outbox.statements import statement

log = structlog.get_logger(__name__)

LEAST_FRESH_SECONDS = 5.0
"""So long what was read is good for everybody who asks, also that nothing could be read."""

FRESH_PER_READING = 20.0
"""And so many times as long as it took: monitoring takes no more of the database than a twentieth of a connection."""

PATIENCE_SECONDS = 1.0
"""For a connection from the pool."""

ANSWER_SECONDS = 5.0
"""For all of a reading. The database ends it sooner, unless it has stopped answering altogether."""

STATES = (
    "not_connected",
    "choose_calendar",
    "active",
    "paused",
    "needs_reconnect",
    "calendar_lost",
    "disconnecting",
)
"""Of connections; each is shown, also with nobody in it."""

GAUGES = {
    "outbox_rows": "Outbox rows that nobody has taken yet. Exact up to 10,000, then Postgres's estimate.",
    "outbox_oldest_seconds": "How long the first of them has been waiting; 0 if none is.",
    "pending_pushes": "Jobs that wait to be looked at on a calendar, by calendar. Exact up to 10,000, as above.",
    "oldest_due_seconds": "How long the calendar that has been due longest could have been pushed; 0 if none is due.",
    "problems": "Jobs that cannot be pushed to a calendar until somebody acts. 10,001 stands for any more than 10,000.",
    "rejected_events": "Outbox rows set aside because they break the contract; calendar-sync replay puts them back.",
    "oldest_transaction_seconds": (
        "Age of the oldest transaction that keeps dead rows from being cleaned up; 0 if there is none. Absent where "
        "the schema's owner lacks pg_read_all_stats."
    ),
}
"""Columns of `calendar_sync.figures` that are numbers."""


class DatabaseFigures:
    """A Prometheus collector of the figures in the database: read at most every few seconds, for all who ask.

    While they cannot be read only `calendar_sync_database_up` is there, with 0. Threads share it.
    """

    def __init__(
        self,
        pool: ConnectionPool[Connection],
        clock: Callable[[], float] = time.monotonic,
        answer_seconds: float = ANSWER_SECONDS,
    ) -> None:
        self._pool = pool
        self._clock = clock
        self._answer_seconds = answer_seconds
        self._lock = threading.Lock()  # guards what is below, and lets one thread read at a time
        self._figures: Mapping[str, Any] | None = None
        self._fresh_until: float | None = None
        self._reading: threading.Thread | None = None

    def collect(self) -> Iterator[GaugeMetricFamily]:
        """The metrics."""
        figures = self._read()
        yield GaugeMetricFamily(
            "calendar_sync_database_up",
            "1 if the database has just told the figures that are its own; 0, and none of them, if not.",
            value=0 if figures is None else 1,
        )
        if figures is None:
            return
        for column, meaning in GAUGES.items():
            if figures[column] is not None:
                yield GaugeMetricFamily(f"calendar_sync_{column}", meaning, value=figures[column])
        connections = GaugeMetricFamily(
            "calendar_sync_connections", "Users' connections by their state.", labels=["state"]
        )
        for state in STATES:
            connections.add_metric([state], figures["connections"].get(state, 0))
        yield connections

    def _read(self) -> Mapping[str, Any] | None:
        with self._lock:
            began = self._clock()
            if self._fresh_until is None or began >= self._fresh_until:
                self._figures = self._look_in_time()
                now = self._clock()
                self._fresh_until = now + max(LEAST_FRESH_SECONDS, FRESH_PER_READING * (now - began))
            return self._figures

    def _look_in_time(self) -> Mapping[str, Any] | None:
        """Where the database says nothing at all, one thread of our own hangs, and nobody who asks."""
        if self._reading is not None and self._reading.is_alive():
            return None
        found: list[Mapping[str, Any] | None] = []
        self._reading = threading.Thread(target=lambda: found.append(self._look()), name="figures", daemon=True)
        self._reading.start()
        self._reading.join(self._answer_seconds)
        if self._reading.is_alive():
            log.warning("figures_not_read", error="the database does not answer")
        return found[0] if found else None

    def _look(self) -> Mapping[str, Any] | None:
        try:
            with self._pool.connection(timeout=PATIENCE_SECONDS) as connection, connection.transaction():
                connection.execute(statement("metrics/be_brief"))
                with connection.cursor(row_factory=dict_row) as cursor:
                    return cursor.execute(statement("metrics/read_figures")).fetchone()
        except (psycopg.Error, PoolTimeout) as error:
            log.warning("figures_not_read", error=describe(error))
            return None


class Ticking(Protocol):
    """A loop that tells how it goes on."""

    @property
    def name(self) -> str: ...
    @property
    def seconds_since_progress(self) -> float: ...


class LoopAges:
    """A Prometheus collector of how long ago each loop last showed that it is alive."""

    def __init__(self, loops: Sequence[Ticking]) -> None:
        self._loops = loops

    def collect(self) -> Iterator[GaugeMetricFamily]:
        """The metrics."""
        ages = GaugeMetricFamily(
            "calendar_sync_loop_last_tick_seconds",
            "How long ago a loop of the daemon last began to wait, or looked around while it did. One that waits looks "
            "around every second; after 90 it counts as stuck, and systemd restarts the daemon.",
            labels=["loop"],
        )
        for loop in self._loops:
            ages.add_metric([loop.name], loop.seconds_since_progress)
        yield ages
