"""When the pusher looks for lanes, while the relay is behind."""

import threading
from typing import Any, cast

import pytest

from outbox.lane import Lease
from outbox.lane_store import LaneStore
from outbox.push import LanePusher
from outbox.pusher import FILL_SECONDS, Pusher
from outbox.quota import Priority


class Store:
    """Stands for the tables, in which nothing is due; counts who looks."""

    def __init__(self) -> None:
        self.looks = 0

    def lease(self, **_how: Any) -> list[Lease]:
        self.looks += 1
        return []

    def seconds_until_due(self, **_how: Any) -> None:
        return None


class Lanes:
    """Stands for what pushes; there is quota."""

    def seconds_without_budget(self, _priority: Priority) -> float:
        return 0.0


@pytest.fixture
def store() -> Store:
    return Store()


@pytest.fixture
def pusher(store: Store) -> Pusher:
    return Pusher(cast(LaneStore, store), cast(LanePusher, Lanes()), concurrency=4, stop=threading.Event())


def test_while_the_relay_is_behind_calendars_fill_for_a_while(pusher: Pusher, store: Store) -> None:
    pusher.relayed(more=True)
    assert 0 < pusher._round() <= FILL_SECONDS
    assert store.looks == 0


def test_once_the_relay_has_caught_up_nothing_is_waited_for(pusher: Pusher, store: Store) -> None:
    pusher.relayed(more=True)
    pusher.relayed(more=False)
    pusher._round()
    assert store.looks > 0


def test_a_relay_that_stays_behind_is_waited_for_once(
    pusher: Pusher, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("outbox.pusher.FILL_SECONDS", 0.0)
    pusher.relayed(more=True)
    monkeypatch.undo()
    pusher.relayed(more=True)
    pusher._round()
    assert store.looks > 0


def test_a_look_without_a_slot_for_a_lane_that_is_well_is_no_look_at_everything(pusher: Pusher, store: Store) -> None:
    for push in range(4):
        pusher._slots.begin(push, troubled=False)
    pusher._round()
    assert store.looks > 0
    assert pusher._low_water.whole_in == 0
    for push in range(4):
        pusher._slots.end(push)
    pusher._round()
    assert pusher._low_water.whole_in > 0
