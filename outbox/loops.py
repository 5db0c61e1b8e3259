"""A loop: a thread that works when it is woken, and otherwise when its last round asked to be called again."""

import random
import threading
import time
from collections.abc import Callable

import psycopg
import structlog
from psycopg_pool import PoolTimeout

from outbox.database import describe

log = structlog.get_logger(__name__)

LOOK_AROUND_SECONDS = 1.0
"""A loop that waits shows as often that it is alive."""

LONGEST_PAUSE_SECONDS = 30.0
"""Between two rounds that failed; growing up to this, so that a database that is down is not hammered."""


def jittered(seconds: float) -> float:
    """A quarter more or less, so that daemons started together do not ask together."""
    return seconds * random.uniform(0.75, 1.25)  # noqa: S311 - spreads load, guards nothing


class Loop:
    """Calls `work` again and again until `stop` is set; an error is logged and the round tried again after a pause.

    Args:
        work: one round; returns the seconds until the next one, unless `wake` comes first.
    """

    def __init__(self, name: str, work: Callable[[], float], stop: threading.Event) -> None:
        self.name = name
        self._work = work
        self._stop = stop
        self._woken = threading.Event()
        self._last_progress = time.monotonic()
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)

    @property
    def seconds_since_progress(self) -> float:
        """Since the loop was last seen between two rounds, or began to wait."""
        return time.monotonic() - self._last_progress

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def wake(self) -> None:
        """Have the next round now; during a round, right after it."""
        self._woken.set()

    def join(self, timeout: float) -> bool:
        """Wait for the end, after `stop` was set and the loop woken; False if it did not come in time."""
        self._thread.join(timeout)
        return not self._thread.is_alive()

    def _run(self) -> None:
        failures = 0
        while not self._stop.is_set():
            self._woken.clear()
            try:
                pause = self._work()
                failures = 0
            except (psycopg.Error, PoolTimeout) as error:
                failures += 1
                pause = jittered(min(2.0**failures / 4, LONGEST_PAUSE_SECONDS))
                log.warning("database_failed", loop=self.name, error=describe(error), again_in=round(pause, 1))
            except Exception:
                failures += 1
                pause = jittered(min(2.0**failures, LONGEST_PAUSE_SECONDS))
                log.exception("loop_failed", loop=self.name, again_in=round(pause, 1))
            self._wait(pause)

    def _wait(self, seconds: float) -> None:
        """Wait in slices, so that a loop that has nothing to do still shows that it is alive."""
        ends = time.monotonic() + seconds
        while True:
            self._last_progress = time.monotonic()
            left = ends - self._last_progress
            if left <= 0 or self._stop.is_set() or self._woken.wait(min(left, LOOK_AROUND_SECONDS)):
                return
