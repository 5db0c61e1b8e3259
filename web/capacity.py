"""How much one process does at once, so that nothing that hangs elsewhere takes all of its threads."""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from web.problem import Problem
from web.refusals import google_unavailable

THREADS = 8
"""Requests that one process serves at once."""

POOL_SIZE = 2 * THREADS
"""Connections of one process to the database: two for each of its threads, because whoever has an account's turn holds
one and takes another."""

ASKING_GOOGLE = THREADS // 2
"""Requests that may wait for Google at once; the other threads serve what does not need Google."""

BUILDING_FEEDS = THREADS // 2
"""Feeds whose text may be made at once, which takes a thread some tenths of a second and some megabytes each."""

AWAITING_CALLBACKS = 2
"""Requests that may wait at once for another callback of the same attempt."""

PATIENCE_SECONDS = 0.5
"""How long a request waits for a place among those that do the same."""


FEED_SECONDS = 30
"""When to ask again for a feed while this process makes as many as it may at once."""


class Places:
    """Lets no more than so many requests of this process do a thing at once. Threads share it."""

    def __init__(self, count: int, refusal: Callable[[], Problem]) -> None:
        self._places = threading.BoundedSemaphore(count)
        self._refusal = refusal

    @contextmanager
    def place(self) -> Iterator[None]:
        """Do it within, and nowhere else.

        Raises:
            Problem: the refusal, because all who came before are still at it.
        """
        if not self._places.acquire(timeout=PATIENCE_SECONDS):
            raise self._refusal()
        try:
            yield
        finally:
            self._places.release()


class GooglePlaces(Places):
    """For requests that wait for Google; the refusal is 503 "google_unavailable"."""

    def __init__(self, count: int = ASKING_GOOGLE) -> None:
        super().__init__(count, google_unavailable)


class FeedPlaces(Places):
    """For requests that make a feed's text; the refusal is 503 "feed_busy"."""

    def __init__(self, count: int = BUILDING_FEEDS) -> None:
        super().__init__(count, _feed_busy)


def _feed_busy() -> Problem:
    """Too many feeds are being made at once."""
    return Problem(
        503,
        "feed_busy",
        "Too many calendars are being read right now",
        "Nothing is lost. Ask again in half a minute.",
        headers={"Retry-After": str(FEED_SECONDS)},
    )
