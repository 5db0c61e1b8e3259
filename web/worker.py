"""gunicorn's threaded worker, in which no client can hold a thread by sending, or by taking, slowly."""

import os
import signal
import time
from typing import Any

from gunicorn.http.errors import NoMoreData  # type: ignore[import-untyped]
from gunicorn.http.unreader import SocketUnreader  # type: ignore[import-untyped]
from gunicorn.util import close_graceful  # type: ignore[import-untyped]
from gunicorn.workers import gthread  # type: ignore[import-untyped]

HEAD_SECONDS = 5.0
"""From the first byte of a request to the end of its headers."""

BODY_SECONDS = 5.0
"""From the first look at a body to its last byte."""

ANSWER_SECONDS = 10.0
"""For a client to take each piece of an answer."""

LINGER_SECONDS = 0.5
"""For a client to close its side first, so that it reads the answer also where something it sent was not read."""


TO_END = frozenset({signal.SIGTERM, signal.SIGQUIT})
"""How the master tells a worker to end; once, when everything stops."""


def hold_signals() -> None:
    """Have those wait that end a process, until `release_signals`."""
    signal.pthread_sigmask(signal.SIG_BLOCK, TO_END)


def release_signals() -> None:
    """Let them through, also those that have come meanwhile."""
    signal.pthread_sigmask(signal.SIG_UNBLOCK, TO_END)


def release_signals_after_forks() -> None:
    """In this process; each worker does it for itself."""
    os.register_at_fork(after_in_parent=release_signals)


class DeadlineUnreader(SocketUnreader):  # type: ignore[misc]
    """Reads from a socket by a deadline for all that is read since `restart`, however many pieces it comes in."""

    def __init__(self, sock: Any) -> None:
        super().__init__(sock)
        self.restart(HEAD_SECONDS, NoMoreData)

    def restart(self, seconds: float, late: type[Exception]) -> None:
        """Allow so many seconds from the next read on; `late` is raised after them."""
        self._seconds, self._late = seconds, late
        self._deadline: float | None = None

    def chunk(self, size_hint: int | None = None) -> bytes:
        """The next piece."""
        now = time.monotonic()
        if self._deadline is None:
            self._deadline = now + self._seconds
        if now >= self._deadline:
            raise self._late
        before = self.sock.gettimeout()
        self.sock.settimeout(self._deadline - now)
        try:
            piece: bytes = super().chunk(size_hint)
        except TimeoutError:
            raise self._late from None
        finally:
            self.sock.settimeout(before)
        return piece


class DeadlineWorker(gthread.ThreadWorker):  # type: ignore[misc]
    """Every read and write of a thread ends in time, and the thread that accepts connections waits for no client."""

    def init_signals(self) -> None:
        """Heed the master; until now what it said would have gone to a copy of its own handlers, and been lost."""
        super().init_signals()
        release_signals()

    def handle(self, conn: Any) -> Any:
        """Serve a request; in one of the threads."""
        # A client who is silent is waited for by no thread, unless these are the last connections of this process.
        goes_on = self.alive
        if not conn.initialized and not conn.data_ready and not conn.wait_for_data(0 if goes_on else HEAD_SECONDS):
            if not goes_on:
                conn.close()
            return gthread._DEFER if goes_on else False
        kept = super().handle(_guarded(conn))
        if kept is False:
            # gunicorn would wait for the client in the thread that all others wait for.
            close_graceful(conn.sock, timeout=LINGER_SECONDS)
        return kept

    def handle_request(self, req: Any, conn: Any) -> Any:
        """Have the application answer a request whose headers have been read."""
        conn.parser.unreader.restart(BODY_SECONDS, TimeoutError)
        conn.sock.settimeout(ANSWER_SECONDS)
        if _has_body(req):
            # What the application leaves of it is not waited for either.
            req.force_close()
        try:
            return super().handle_request(req, conn)
        except TimeoutError:
            self.log.debug("A client did not take its answer in time.")
            return False

    def finish_request(self, conn: Any, fs: Any) -> None:
        """Keep the connection or give it up; in the thread that accepts connections."""
        result = None if fs.cancelled() or fs.exception() is not None else fs.result()
        if result is False:
            self.nr_conns -= 1
        elif result is gthread._DEFER and not self.alive:
            # The end has begun since it was looked at; gunicorn would drop what is just being sent.
            self.enqueue_req(conn)
        else:
            super().finish_request(conn, fs)


def _guarded(conn: Any) -> Any:
    """The connection with our reader; it has one to itself for as long as it lasts."""
    if not conn.initialized:
        conn.init()
        conn.parser.unreader = DeadlineUnreader(conn.sock)
    conn.parser.unreader.restart(HEAD_SECONDS, NoMoreData)
    return conn


def _has_body(req: Any) -> bool:
    headers = dict(req.headers)
    return "TRANSFER-ENCODING" in headers or headers.get("CONTENT-LENGTH", "0").strip() != "0"
