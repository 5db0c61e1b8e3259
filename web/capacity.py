"""How much one process does at once, so that nothing that hangs elsewhere takes all of its threads."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager

from web.refusals import google_unavailable

THREADS = 8
"""Requests that one process serves at once."""

POOL_SIZE = 2 * THREADS
"""Connections of one process to the database: two for each of its threads, because whoever has an account's turn holds
one and takes another."""

ASKING_GOOGLE = THREADS // 2
"""Requests that may wait for Google at once; the other threads serve what does not need Google."""

AWAITING_CALLBACKS = 2
"""Requests that may wait at once for another callback of the same attempt."""

PATIENCE_SECONDS = 0.5
"""How long a request waits for a place among those that ask Google."""


class GooglePlaces:
    """Lets no more than so many requests of this process wait for Google at once. Threads share it."""

    def __init__(self, count: int = ASKING_GOOGLE) -> None:
        self._places = threading.BoundedSemaphore(count)

    @contextmanager
    def place(self) -> Iterator[None]:
        """Ask Google within it, and nowhere else.

        Raises:
            Problem: 503 "google_unavailable", because all who asked before are still waiting for an answer.
        """
        if not self._places.acquire(timeout=PATIENCE_SECONDS):
            raise google_unavailable()
        try:
            yield
        finally:
            self._places.release()
