"""How many calls go to Google in one request, for each calendar. Pure but for what it remembers."""

import threading
import time
from collections.abc import Callable

from outbox.google.batch import MOST_PARTS
from outbox.google.client import Together
from outbox.google.meaning import Meaning

SLOW_SECONDS = 3.0
"""A batch that takes longer is too large: a live edit that comes meanwhile waits for its end."""

ALONE_SECONDS = 600.0
"""How long calls go one by one where a batch as such was not taken, or could not be made."""


class BatchSizes:
    """Halved when Google finds so many at once too many, down to single requests; recovers by one with each batch that
    goes well. Threads share it, and it is forgotten with the daemon.
    """

    def __init__(self, most: int = MOST_PARTS, clock: Callable[[], float] = time.monotonic) -> None:
        self._most = most
        self._clock = clock
        self._lock = threading.Lock()  # guards all below
        self._sizes: dict[tuple[str, str], int] = {}
        self._alone_until: dict[tuple[str, str], float] = {}

    def of(self, lane: tuple[str, str]) -> int:
        """How many calls may go together on this lane (tenant, calendar)."""
        alone = self._clock() < self._alone_until.get(lane, 0.0)
        return 1 if alone else self._sizes.get(lane, self._most)

    def learn(self, lane: tuple[str, str], together: Together, *, calls: int, seconds: float) -> None:
        """From how a batch of so many calls fared, in the time that it took."""
        silent = any(answer.meaning is Meaning.NO_ANSWER for answer in together.answers)
        if together.refused:
            self.cannot_go_together(lane)
        elif together.crowded or silent or seconds > SLOW_SECONDS:
            self._change(lane, self.of(lane) // 2)
        elif calls >= self.of(lane):
            self.went_well(lane)

    def went_well(self, lane: tuple[str, str]) -> None:
        """As many as may go together went, and Google took them."""
        self._change(lane, self.of(lane) + 1)

    def cannot_go_together(self, lane: tuple[str, str]) -> None:
        """A batch is not taken, or could not be made: whatever is wrong with one call would keep the others."""
        now = self._clock()
        with self._lock:
            self._alone_until = {key: until for key, until in self._alone_until.items() if until > now}
            self._alone_until[lane] = now + ALONE_SECONDS

    def _change(self, lane: tuple[str, str], size: int) -> None:
        with self._lock:
            if size >= self._most:
                self._sizes.pop(lane, None)
            else:
                self._sizes[lane] = max(1, size)
