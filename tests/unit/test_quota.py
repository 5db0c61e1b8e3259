"""The arithmetic of quotas: never too much in any of Google's minutes, and nearly all of it while something waits."""

import heapq
import itertools
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from outbox.quota import BURST_SECONDS, WINDOW_SECONDS, Limit, Priority, Window, leaves_at

NOW = 1_800_000_000.25
LATE = 60.0
"""A request that nobody answered may still arrive so much later."""

Moments = list[float]


def most_in_a_minute(arrivals: Sequence[float]) -> int:
    """Of any minute, as Google counts: whoever arrives is counted together with what came less than 60 s before."""
    arrivals, first, most = sorted(arrivals), 0, 0
    for last, moment in enumerate(arrivals):
        while arrivals[first] <= moment - WINDOW_SECONDS:
            first += 1
        most = max(most, last - first + 1)
    return most


@dataclass(slots=True)
class Pusher:
    """A daemon that draws, sends one request after another, and tells later what it did; or dies before that."""

    window: Window
    limit: Limit
    priority: Priority
    arrivals: Moments
    held: Counter[int] = field(default_factory=Counter)
    used: Counter[int] = field(default_factory=Counter)
    unsettled: dict[int, float] = field(default_factory=dict)
    left: int = 0
    usable_until: float = 0.0

    def draw(self, now: float, wanted: int, usable: float) -> float:
        """Draw if nothing is left; returns how long there was nothing to be had."""
        if self.left and now < self.usable_until:
            return 0.0
        grant = self.window.draw(
            now,
            self.limit,
            self.priority,
            wanted=wanted,
            least=min(wanted, self.limit.chunk),
            until=leaves_at(now + usable + 10.0),
        )
        self.left, self.usable_until = grant.units, now + usable
        self.held[grant.until] += grant.units
        return grant.wait if not grant.units else 0.0

    def send(self, now: float, on_the_way: float, answered_after: float) -> None:
        """One request; if its answer takes longer than ten seconds, it is given up and arrives whenever it does."""
        if not self.left or now >= self.usable_until:
            return
        self.left -= 1
        self.unsettled[len(self.arrivals)] = self.usable_until + 10.0
        self.arrivals.append(now + on_the_way)
        over, answered = now + min(answered_after, 10.0), on_the_way <= answered_after <= 10.0
        self.used[leaves_at(over + (0.0 if answered else LATE))] += 1

    def settle(self, now: float) -> None:
        """Tell."""
        self.window.settle(now, self.limit, held=self.held, used=self.used, paced=self.priority is not Priority.LIVE)
        self._forget()

    def die(self) -> None:
        """What was drawn is not heard of again, and another takes its place; connections of the dead are cut."""
        for sent, last in self.unsettled.items():
            self.arrivals[sent] = min(self.arrivals[sent], last)
        self._forget()

    def _forget(self) -> None:
        self.held, self.used, self.left, self.unsettled = Counter(), Counter(), 0, {}


LATENCIES = st.sampled_from([0.0, 0.05, 0.9, 3.0, 10.0, 35.0, 60.0])
"""Until a request arrives. One that is not answered within ten seconds was given up."""

WAITS = st.sampled_from([0.3, 1.0, 7.0, 24.0, 49.0, 58.5, 59.5, 59.95, 60.0, 60.2, 61.0])

steps = st.lists(
    st.tuples(
        st.sampled_from(["push", "push", "push", "settle", "die"]),
        st.integers(0, 1),
        WAITS,
        LATENCIES,
        st.integers(1, 40),
    ),
    min_size=8,
    max_size=40,
)


@given(steps, st.integers(6, 40), st.sampled_from(list(Priority)), st.sampled_from(list(Priority)))
def test_no_minute_of_googles_holds_more_than_the_limit_whatever_two_daemons_do(
    story: list[tuple[str, int, float, float, int]], per_minute: int, first: Priority, second: Priority
) -> None:
    window, limit, arrivals, now = Window(), Limit(per_minute), Moments(), NOW
    daemons = [Pusher(window, limit, priority, arrivals) for priority in (first, second)]
    for what, who, seconds, on_the_way, number in story:
        daemon = daemons[who]
        match what:
            case "push":
                daemon.draw(now, number, usable=10.0)
                for _ in range(number // 2 + 1):
                    daemon.send(now, on_the_way, on_the_way if on_the_way <= 10 else 11)
            case "settle":
                # What is under way has no end yet: a daemon tells only of what is over.
                now += 10.0
                daemon.settle(now)
            case "die":
                daemon.die()
        now += 0.01
        if number % 3 == 0:
            # However long it is until something else happens, no push lives longer than its lease.
            now += 10.0
            for each in daemons:
                each.settle(now)
            now += max(0.0, seconds - 10.0)
    assert most_in_a_minute(arrivals) <= per_minute


PUSHES = [(Limit(120), 20, 0.02), (Limit(600), 20, 0.02), (Limit(600), 20, 0.25)]
"""Of an account: its limit, jobs in a push, seconds a call takes."""

POOLS = [(Limit(1_200), 18, 0.09), (Limit(10_000), 250, 0.011)]
"""Of the project: its limit, what each of two daemons draws at once, seconds from one request to its next."""


@pytest.mark.parametrize("priority", Priority, ids=lambda priority: priority.name)
@pytest.mark.parametrize(("limit", "at_once", "seconds"), [*PUSHES, *POOLS])
def test_a_steady_backlog_uses_nearly_all_of_it_in_every_minute(
    limit: Limit, at_once: int, seconds: float, priority: Priority
) -> None:
    window, arrivals, minutes = Window(), Moments(), 4
    pushers = [
        Pusher(window, limit, priority, arrivals) for _ in range(max(2, round(limit.per_second * seconds * 1.5)))
    ]
    ready = [(NOW, number) for number in range(len(pushers))]
    while ready[0][0] < NOW + minutes * WINDOW_SECONDS:
        now, number = heapq.heappop(ready)
        if not pushers[number].left:
            pushers[number].settle(now)
        if wait := pushers[number].draw(now, at_once, usable=25.0):
            heapq.heappush(ready, (now + max(wait, 0.01), number))
        else:
            pushers[number].send(now, seconds / 2, seconds)
            heapq.heappush(ready, (now + seconds, number))
    counts = Counter(int((moment - NOW) // WINDOW_SECONDS) for moment in arrivals)
    assert most_in_a_minute(arrivals) <= limit.per_minute
    assert min(counts[minute] / limit.per_minute for minute in range(minutes)) >= 0.95


def test_a_moment_told_as_the_one_to_ask_again_is_one() -> None:
    limit = Limit(600)
    for priority, wanted in itertools.product(Priority, (1, 3, 10, 20, 50)):
        window, now = Window(), NOW
        for _ in range(300):
            grant = window.draw(now, limit, priority, wanted=wanted, least=min(wanted, 10), until=leaves_at(now + 1))
            assert grant.units == wanted or grant.wait > 0
            if grant.units == 0:
                again = Window(dict(window.charges), window.paced_until).draw(
                    now + grant.wait, limit, priority, wanted=wanted, least=min(wanted, 10), until=leaves_at(now + 1)
                )
                assert again.units > 0
            now += grant.wait


def test_what_is_kept_back_is_there_for_the_more_urgent() -> None:
    limit = Limit(600)
    window = Window({leaves_at(NOW): 585})
    draw = {"wanted": 100, "least": 1, "until": leaves_at(NOW)}
    assert window.draw(NOW, limit, Priority.CLEAN_UP, **draw).units == 3
    assert window.draw(NOW, limit, Priority.CLEAN_UP, **draw).units == 0
    assert window.draw(NOW, limit, Priority.BACKFILL, **draw).units == 6
    assert window.draw(NOW, limit, Priority.BACKFILL, **draw).units == 0
    assert window.draw(NOW, limit, Priority.LIVE, **draw).units == 6
    assert window.draw(NOW, limit, Priority.LIVE, **draw).units == 0


def test_a_backlog_keeps_an_even_pace_so_that_a_live_edit_never_waits_for_long() -> None:
    limit, window, now, longest = Limit(600), Window(), NOW, 0.0
    while now < NOW + 300:
        while (grant := window.draw(now, limit, Priority.BACKFILL, wanted=20, least=10, until=leaves_at(now))).units:
            pass
        edit = Window(dict(window.charges), window.paced_until).draw(
            now, limit, Priority.LIVE, wanted=3, least=3, until=leaves_at(now)
        )
        longest = max(longest, edit.wait)
        now += grant.wait
    assert longest < 2


def test_a_backlog_begins_with_a_burst() -> None:
    limit, window = Limit(600), Window()
    grant = window.draw(NOW, limit, Priority.BACKFILL, wanted=600, least=1, until=leaves_at(NOW))
    assert grant.units == limit.per_second * BURST_SECONDS
    assert window.draw(NOW, limit, Priority.LIVE, wanted=600, least=1, until=leaves_at(NOW)).units == 540


def test_less_than_is_worth_while_is_not_drawn_and_waits_for_that_much() -> None:
    limit = Limit(600)
    window = Window({int(NOW) + 5: 4, int(NOW) + 9: 4, int(NOW) + 30: 590})
    grant = window.draw(NOW, limit, Priority.LIVE, wanted=20, least=10, until=leaves_at(NOW))
    assert (grant.units, grant.wait) == (0, int(NOW) + 9 - NOW)


@pytest.mark.parametrize("priority", Priority)
def test_a_clock_that_is_set_back_costs_about_a_minute(priority: Priority) -> None:
    limit, window, now = Limit(600), Window(), NOW
    window.draw(now, limit, priority, wanted=60, least=1, until=leaves_at(now))
    now -= 3600.0
    window.draw(now, limit, priority, wanted=1, least=1, until=leaves_at(now))
    assert max(window.charges) <= now + 63.0
    now += 63.0
    assert window.draw(now, limit, priority, wanted=60, least=60, until=leaves_at(now)).units == 60


def test_what_was_not_used_is_free_at_once_and_so_is_its_place_in_the_pace() -> None:
    limit, window = Limit(600), Window()
    before = window.draw(NOW, limit, Priority.BACKFILL, wanted=60, least=1, until=leaves_at(NOW + 90))
    assert window.draw(NOW, limit, Priority.BACKFILL, wanted=60, least=1, until=leaves_at(NOW + 90)).units == 0
    window.settle(NOW, limit, held={before.until: 60}, used={leaves_at(NOW): 5}, paced=True)
    assert window.charges == {leaves_at(NOW): 5}
    assert window.draw(NOW, limit, Priority.BACKFILL, wanted=60, least=1, until=leaves_at(NOW + 90)).units == 55


def test_what_is_told_of_a_row_that_was_lost_in_a_crash_only_adds_to_it() -> None:
    window = Window()
    window.settle(NOW, Limit(600), held={leaves_at(NOW + 90): 60}, used={leaves_at(NOW): 5}, paced=False)
    assert window.charges == {leaves_at(NOW): 5}


@settings(max_examples=200)
@given(st.floats(0, 2e9))
def test_a_request_counts_for_more_than_a_minute_and_less_than_a_second_more(arrival: float) -> None:
    assert WINDOW_SECONDS < leaves_at(arrival) - arrival < WINDOW_SECONDS + 1.2
