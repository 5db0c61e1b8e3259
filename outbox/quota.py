"""How many requests a Google account, or the whole project, may still send. Pure: the clock comes in as an argument.

Google counts sliding minutes. We count a unit from the moment it is drawn until a minute after the last moment at which
its request may have reached Google. So whichever minute Google looks at, each request in it is one that we count at
the end of that minute too, and there are never more of them than the limit.

Times are seconds of the database's clock since 1970.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import IntEnum

WINDOW_SECONDS = 60.0
"""Google's minute."""

CLOCK_MARGIN_SECONDS = 0.1
"""What a minute of Google's clock may be longer than one of the database's, while that is being adjusted."""

BURST_SECONDS = 6.0
"""What is not live is sent at an even pace, so that there is always something about to become free for a live edit. It
may be ahead of that pace by so much: the upcoming jobs of a small office appear in one go."""

LONGEST_CHARGE_SECONDS = 180.0
"""No charge lasts longer: less than half a minute until a request is sent, a minute in which it may still arrive, and
Google's minute."""

DAY_BILLING_THRESHOLD = 1_000_000
"""Requests of a project in 24 hours beyond which Google means to send bills, and which it does not raise.
https://developers.google.com/workspace/calendar/api/guides/quota"""

DAY_ALARM = DAY_BILLING_THRESHOLD * 8 // 10
"""Beyond this an operator should know."""


class Priority(IntEnum):
    """Who goes first; the values of `pending_push.priority`."""

    LIVE = 0
    BACKFILL = 1
    CLEAN_UP = 2


_SHARES = {Priority.LIVE: 1.0, Priority.BACKFILL: 0.99, Priority.CLEAN_UP: 0.98}
"""How much of a limit each may use: what becomes free is there for the more urgent first. No more is kept back than
that, because what is kept back is never used while only a backlog waits."""


@dataclass(frozen=True, slots=True)
class Limit:
    """A limit in requests a minute."""

    per_minute: int

    @property
    def per_second(self) -> float:
        """An even pace."""
        return self.per_minute / WINDOW_SECONDS

    @property
    def chunk(self) -> int:
        """What is worth waiting for: a second's worth. Whoever waits for a single unit wakes up for each."""
        return max(1, int(self.per_second))

    def ceiling(self, priority: Priority) -> int:
        """What all together may have in use for one of them to draw more."""
        return max(1, int(self.per_minute * _SHARES[priority]))


@dataclass(frozen=True, slots=True)
class Grant:
    """What was drawn.

    Attributes:
        units: 0 if it was not worth while.
        until: the second until which they count, unless it is told what became of them.
        wait: seconds until it is worth to ask for what is still missing; 0 if nothing is.
    """

    units: int
    until: int
    wait: float


def leaves_at(last_arrival: float) -> int:
    """The second in which a request no longer counts that reached Google by then."""
    return math.ceil(last_arrival + WINDOW_SECONDS + CLOCK_MARGIN_SECONDS)


@dataclass(slots=True)
class Window:
    """What counts now for one account, or for the project.

    Attributes:
        charges: units by the second from which on they no longer count.
        paced_until: how far the even pace of what is not live has been used up.
    """

    charges: dict[int, int] = field(default_factory=dict)
    paced_until: float = 0.0

    def used(self, now: float) -> int:
        """The units that count now."""
        return sum(units for second, units in self.charges.items() if second > now)

    def draw(self, now: float, limit: Limit, priority: Priority, *, wanted: int, least: int, until: int) -> Grant:
        """Take up to `wanted` units, which count until `until`; none if there are fewer than `least`."""
        self._forget(now)
        ceiling, least = limit.ceiling(priority), min(wanted, least, _most_at_once(limit, priority))
        free = ceiling - sum(self.charges.values())
        if priority is not Priority.LIVE:
            free = min(free, self._pace_left(now, limit))
        units = min(wanted, free) if free >= least else 0
        if units > 0:
            self._add(until, units)
            if priority is not Priority.LIVE:
                self.paced_until = self._paced_from(now) + units / limit.per_second
        if units == wanted:
            return Grant(units, until, 0.0)
        # Whoever is to go on afterwards wants at least as much as would have been enough now.
        worth = min(wanted - units, max(least, limit.chunk), _most_at_once(limit, priority))
        return Grant(units, until, self._wait(now, limit, priority, worth))

    def settle(
        self, now: float, limit: Limit, *, held: Mapping[int, int], used: Mapping[int, int], paced: bool
    ) -> None:
        """Count what was done with what was drawn, instead of what might have been; the rest is free again.

        Args:
            held: units by the second until which they counted.
            used: units by the second until which they count now.
            paced: whether they were drawn for something that is not live.
        """
        for second, units in held.items():
            left = self.charges.pop(second, 0) - units
            if left > 0:
                self.charges[second] = left
        for second, units in used.items():
            if second > now:
                self._add(second, units)
        if paced:
            self.paced_until -= (sum(held.values()) - sum(used.values())) / limit.per_second

    def charge(self, second: int, units: int) -> None:
        """Count what is sent in any case."""
        if units > 0:
            self._add(second, units)

    def _forget(self, now: float) -> None:
        """What no longer counts. What is ahead of its time was written before the clock was set back: nobody knows
        when, so it counts as if it had just been sent.
        """
        self.paced_until = min(self.paced_until, now)
        charges, self.charges = self.charges, {}
        for second, units in charges.items():
            if second > now:
                self._add(second if second <= now + LONGEST_CHARGE_SECONDS else leaves_at(now), units)

    def _add(self, second: int, units: int) -> None:
        self.charges[second] = self.charges.get(second, 0) + units

    def _paced_from(self, now: float) -> float:
        return max(self.paced_until, now - BURST_SECONDS)

    def _pace_left(self, now: float, limit: Limit) -> int:
        # A moment computed as the one at which there is enough must be one, whatever rounding does.
        return math.floor((now - self._paced_from(now)) * limit.per_second + 1e-3)

    def _wait(self, now: float, limit: Limit, priority: Priority, units: int) -> float:
        """Seconds until so many units can be drawn, if nobody else comes first."""
        free, ready = limit.ceiling(priority) - sum(self.charges.values()), now
        for second, leaving in sorted(self.charges.items()):
            if free >= units:
                break
            free, ready = free + leaving, float(second)
        if priority is not Priority.LIVE:
            ready = max(ready, self._paced_from(now) + units / limit.per_second)
        return max(0.0, ready - now)


def _most_at_once(limit: Limit, priority: Priority) -> int:
    """What can be free at all."""
    most = limit.ceiling(priority)
    return most if priority is Priority.LIVE else max(1, min(most, int(limit.per_second * BURST_SECONDS)))
