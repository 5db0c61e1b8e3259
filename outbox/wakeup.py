"""LISTEN on a connection of its own: a notification is a hint that makes the relay look at once."""

import time
from collections.abc import Callable
from typing import LiteralString

import psycopg

from outbox.database import Connection, connect

CHANNEL: LiteralString = "calendar_sync_outbox"
"""What the outbox table's trigger notifies."""

HEARTBEAT_SECONDS = 10.0
"""A question on the listening connection itself finds out that it is dead; keepalives bound the wait for an answer."""

SLICE_SECONDS = 0.5
"""Waits are cut so that stopping is prompt."""


class Listener:
    """Wakes somebody whenever the outbox was written to, and whenever a hint may have been missed."""

    def __init__(self, url: str, wake: Callable[[], None]) -> None:
        self._url = url
        self._wake = wake
        self._connection: Connection | None = None
        self._next_heartbeat = 0.0

    def listen(self) -> float:
        """Listen for one slice of time; raises psycopg.Error when the connection is lost, and then begins anew."""
        try:
            connection = self._connection or self._connect()
            if any(connection.notifies(timeout=SLICE_SECONDS, stop_after=1)):
                self._wake()
            if time.monotonic() >= self._next_heartbeat:
                connection.execute("SELECT 1")
                self._next_heartbeat = time.monotonic() + HEARTBEAT_SECONDS
        except psycopg.Error:
            self.close()
            raise
        return 0.0

    def close(self) -> None:
        """Hang up."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def _connect(self) -> Connection:
        self._connection = connect(self._url, application_name="calendar-sync listen")
        self._connection.execute(f"LISTEN {CHANNEL}")
        self._next_heartbeat = time.monotonic() + HEARTBEAT_SECONDS
        self._wake()
        return self._connection
