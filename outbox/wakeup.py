"""LISTEN on a connection of its own: a notification is a hint that makes the relay look at once."""

import contextlib
import os
import socket
import threading
import time
from collections.abc import Callable, Iterator
from typing import LiteralString

import psycopg

from outbox.database import Connection, connect

CHANNEL: LiteralString = "calendar_sync_outbox"
"""What the outbox table's trigger notifies."""

HEARTBEAT_SECONDS = 10.0
"""A question on the listening connection itself finds out that it is dead."""

ANSWER_SECONDS = 5.0
"""Without an answer for so long we hang up: keepalives do not notice a peer that takes every byte and says nothing."""

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
                with _hanging_up_after(ANSWER_SECONDS, connection):
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
        with _hanging_up_after(ANSWER_SECONDS, self._connection):
            self._connection.execute(f"LISTEN {CHANNEL}")
        self._next_heartbeat = time.monotonic() + HEARTBEAT_SECONDS
        self._wake()
        return self._connection


@contextlib.contextmanager
def _hanging_up_after(seconds: float, connection: Connection) -> Iterator[None]:
    """Whoever waits in here for an answer gets psycopg.OperationalError instead when the time is over."""
    timer = threading.Timer(seconds, _hang_up, [connection.fileno()])
    timer.start()
    try:
        yield
    finally:
        timer.cancel()
        timer.join()  # the descriptor must still be this connection's while the timer uses it


def _hang_up(descriptor: int) -> None:
    with socket.socket(fileno=os.dup(descriptor)) as line, contextlib.suppress(OSError):  # gone already
        line.shutdown(socket.SHUT_RDWR)
