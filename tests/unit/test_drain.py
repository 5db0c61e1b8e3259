"""A drain pushes what is due, and stays for what waits for quota."""

import threading
import time
from collections.abc import Callable
from typing import Any
from uuid import UUID

import pytest

from outbox.lane import Lease
from outbox.pusher import Pusher
from outbox.turn import Begin, Pushed


class Lanes:
    """Stands for the tables and for the pushes: one lane, which has quota only after a while for the second push."""

    def __init__(self) -> None:
        self.due = True
        self.pushes = 0
        self.waits: list[float] = [12.5, 0.0]

    def lease(self, *, limit: int, **_rest: Any) -> list[Lease]:
        due, self.due = self.due and limit > 0, False
        return [Lease("acme", "cal-1", UUID(int=1), 0, time.monotonic() + 25.0)] if due else []

    def open(self, _lease: Lease) -> None:
        """A turn, of which nothing is asked."""

    def carry_out(self, _turn: None, _progress: Callable[[], None], _begin: Begin) -> Pushed:
        self.pushes += 1
        return Pushed({}, None)

    def seconds_until_quota(self) -> float | None:
        return self.waits.pop(0) if self.waits else None


class Stop(threading.Event):
    """Nobody stops; a wait is over at once, and after the last one there is quota."""

    def __init__(self, lanes: Lanes) -> None:
        super().__init__()
        self._lanes = lanes
        self.waits: list[float | None] = []

    def wait(self, timeout: float | None = None) -> bool:
        self.waits.append(timeout)
        self._lanes.due = not self._lanes.waits
        return False


@pytest.mark.parametrize(("wait_for_quota", "pushes", "waits"), [(False, 1, []), (True, 2, [12.5, 0.1])])
def test_a_drain_stays_for_what_waits_for_quota_if_it_is_to(
    wait_for_quota: bool, pushes: int, waits: list[float]
) -> None:
    lanes: Any = Lanes()
    stop = Stop(lanes)
    Pusher(lanes, lanes, concurrency=1, stop=stop).drain(wait_for_quota=wait_for_quota)
    assert (lanes.pushes, stop.waits) == (pushes, waits)
