"""The pusher's slots: how many pushes may begin now. Pure; the clock comes in as an argument."""

from collections.abc import Callable, Hashable
from dataclasses import dataclass

SLOW_SECONDS = 1.0
"""A push that has been at one job for longer leaves its slot. Several times what Google usually takes."""

MOST_AT_ONCE = 4
"""Pushes under way for each slot, with those that left theirs. A thread that waits for Google costs next to nothing."""


@dataclass(frozen=True, slots=True)
class Room:
    """What may begin now.

    Attributes:
        well: lanes that are well.
        troubled: besides, lanes whose last push was in vain.
        more_in: seconds after which it is worth to ask again, though no push has ended.
    """

    well: int
    troubled: int
    more_in: float


@dataclass(slots=True)
class _Push:
    aside: bool
    progress_at: float


class Slots:
    """Who holds a slot and who is aside.

    What hangs holds a slot for a second instead of for as long as a call may take: then it is set aside and its slot is
    somebody else's. Lanes whose last push was in vain are aside from the beginning; of these no more begin once as many
    pushes are aside as there are slots. Not thread-safe.
    """

    def __init__(self, number: int, clock: Callable[[], float]) -> None:
        self._number = number
        self._clock = clock
        self._pushes: dict[Hashable, _Push] = {}

    @property
    def most(self) -> int:
        """Pushes that can be under way at once."""
        return self._number * MOST_AT_ONCE

    @property
    def idle(self) -> bool:
        """Whether no push is under way."""
        return not self._pushes

    @property
    def longest(self) -> float:
        """Seconds for which the slowest push has been at one job; 0 if none is under way."""
        return max((self._clock() - push.progress_at for push in self._pushes.values()), default=0.0)

    def begin(self, push: Hashable, *, troubled: bool) -> None:
        """A push is under way."""
        self._pushes[push] = _Push(troubled, self._clock())

    def progress(self, push: Hashable) -> None:
        """The push goes on to its next job."""
        self._pushes[push].progress_at = self._clock()

    def end(self, push: Hashable) -> None:
        """The push is over."""
        del self._pushes[push]

    def keep(self, push: Hashable) -> bool:
        """Whether the push may hand its slot over: one that was set aside takes a free one for that."""
        held = self._pushes[push]
        if held.aside and self.room().well > 0:
            self._pushes[push] = _Push(False, self._clock())
        return not self._pushes[push].aside

    def hand_over(self, push: Hashable, to: Hashable) -> None:
        """The push is over, and another one goes on in its slot."""
        self._pushes[to] = _Push(False, self._clock())
        self.end(push)

    def room(self) -> Room:
        """What may begin now; sets aside what waits too long."""
        slow_since = self._clock() - SLOW_SECONDS
        holding = [push for push in self._pushes.values() if not push.aside]
        for push in holding:
            push.aside = push.progress_at <= slow_since
        holding = [push for push in holding if not push.aside]
        aside = len(self._pushes) - len(holding)
        left = self.most - len(self._pushes)
        well = max(0, min(left, self._number - len(holding)))
        troubled = max(0, min(left - well, self._number - aside))
        return Room(well, troubled, min((push.progress_at - slow_since for push in holding), default=SLOW_SECONDS))
