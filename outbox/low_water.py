"""Looking for work in a table without walking over what was deleted at its beginning and cannot be cleaned up yet.

While anybody's transaction stays open, dead rows stay in the indexes, and a look for the first rows walks over all of
them.
A look from a low-water mark on does not; but a row may become visible below the mark, so that it is a hint and no more.
"""

import math
import time
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")

WHOLE_LOOK_SECONDS = 2.0
"""Between two looks at everything while there is work above the mark; and at most between any two."""

LONG_LOOK_SECONDS = 0.005
"""A look at everything that takes longer walks over much that is dead."""

PATIENCE = 20
"""After such a look the next one is not taken for so many times as long, so that they take a twentieth of the time."""


class LowWater:
    """When to look from the mark on, and when at everything. For one thread."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._due_at = self._not_before = -math.inf

    @property
    def whole_in(self) -> float:
        """Seconds until a look is one at everything, whatever is found from the mark on."""
        return max(0.0, max(self._due_at, self._not_before) - self._clock())

    def look(
        self, from_the_mark_on: Callable[[], list[T]], at_everything: Callable[[], list[T]], *, thorough: bool = False
    ) -> list[T]:
        """What is found from the mark on; if nothing is, or it has not been done for a while, a look at everything.

        Args:
            thorough: nobody looks again after a look that finds nothing, so that it has to be one at everything.
        """
        if thorough:
            return at_everything()
        if self._clock() < self._due_at and (found := from_the_mark_on()):
            return found
        began = self._clock()
        if began < self._not_before:
            return []
        found = at_everything()
        took = self._clock() - began
        self._due_at = began + took + WHOLE_LOOK_SECONDS
        pause = PATIENCE * took if took > LONG_LOOK_SECONDS else 0.0
        self._not_before = began + took + min(WHOLE_LOOK_SECONDS, pause)
        return found
