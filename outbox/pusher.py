"""The pusher: keeps every free slot busy, with live edits first, and then with the lane that has been due longest."""

import math
import threading
import time
from collections.abc import Callable, Hashable, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta
from functools import partial
from typing import TypeVar

import psycopg
import structlog
from psycopg_pool import PoolTimeout

from outbox.database import Connection, describe
from outbox.lane import Lease, LeaseLostError
from outbox.lane_store import LaneStore, Look
from outbox.loops import Loop, jittered
from outbox.low_water import LowWater
from outbox.metrics import LEASE_LOST
from outbox.push import LanePusher
from outbox.quota import Priority
from outbox.slots import Slots
from outbox.turn import Turn, no_turn, with_turn

log = structlog.get_logger(__name__)

T = TypeVar("T")

LEASE_SECONDS = 30.0
"""How long a killed daemon's lanes stay taken. Outlives a push, whose calls end LEASE_MARGIN_SECONDS before it."""

LEASE_MARGIN_SECONDS = 5.0
"""Between the last moment a call may be under way and the end of the lease: time to settle."""

LEAST_PAUSE_SECONDS = 0.02
"""Between two looks at a lane that is due and that somebody else is just taking."""

TOGETHER_SECONDS = 0.06
"""Between two leases while most slots are taken, so that one statement leases for several pushes that end."""

BACKWARD = timedelta(seconds=0.3)
"""A lane due by so much earlier than others that were leased before it is found at once all the same."""

DRAIN_PAUSE_SECONDS = 0.1
"""Between two looks of a drain for a lane that there should be quota for by now."""

POLL_SECONDS = 2.0
"""How late a lane is noticed that another daemon made due."""

ROWS_COME_SECONDS = 0.1
"""While rows come at shorter intervals a lane is settled and let go of at once, because the relay waits for lanes."""

FILL_SECONDS = 1.5
"""How long no push begins while the relay is behind: its next batches are for the same calendars, and what is marked
on one of them goes in one push instead of several.
"""


class Pusher:
    """Leases lanes and has them pushed by threads: `concurrency` at once, and those that wait too long besides."""

    def __init__(self, store: LaneStore, lanes: LanePusher, *, concurrency: int, stop: threading.Event) -> None:
        self._store = store
        self._lanes = lanes
        self._stop = stop
        self._slots = Slots(concurrency, time.monotonic)
        self._lock = threading.Lock()  # guards _slots
        self._idle = threading.Condition(self._lock)
        self._threads = ThreadPoolExecutor(self._slots.most, thread_name_prefix="push")
        self._few = concurrency // 2
        self._leased_at = self._fills_until = self._rows_at = -math.inf
        self._behind_since: float | None = None
        self._low_water = LowWater()
        self._due_since: datetime | None = None
        self._more_due = False
        self.lost_leases = 0
        self.loop = Loop("pusher", self._round, stop)

    def finish(self, timeout: float) -> bool:
        """Wait for the pushes under way, which end soon once `stop` is set; False if one did not."""
        self._threads.shutdown(wait=False)
        with self._lock:
            return self._idle.wait_for(lambda: self._slots.idle, timeout)

    @property
    def seconds_at_one_job(self) -> float:
        """For which the slowest push has made no progress; 0 if none is under way."""
        with self._lock:
            return self._slots.longest

    def rows_come(self) -> None:
        """Rows were relayed."""
        self._rows_at = time.monotonic()

    def relayed(self, *, more: bool) -> None:
        """Rows were relayed, and calendars are due; `more`: the relay goes on at once, and is not waited for twice."""
        if not more:
            self._behind_since = None
            self._fills_until = -math.inf
        elif self._behind_since is None:
            self._behind_since = time.monotonic()
            self._fills_until = self._behind_since + FILL_SECONDS
        self.loop.wake()

    def drain(self, *, wait_for_quota: bool = False) -> None:
        """Push every lane that is due, in this thread, until none is or `stop` is set.

        Args:
            wait_for_quota: go on with what waits for quota, and for nothing else, once there is some.
        """
        while not self._stop.is_set():
            if leases := self._lease(1, 0, thorough=True) or self._lease(0, 1, thorough=True):
                self._push(leases[0])
                continue
            wait = self._lanes.seconds_until_quota() if wait_for_quota else None
            if wait is None:
                return
            if wait > 0:
                log.info("waiting_for_quota", seconds=round(wait, 1))
            self._stop.wait(max(DRAIN_PAUSE_SECONDS, wait))

    def _round(self) -> float:
        if (without := self._lanes.seconds_without_budget(Priority.LIVE)) > 0:
            return without
        without = self._lanes.seconds_without_budget(Priority.BACKFILL)  # then there is something for live edits only
        live_only = without > 0
        with self._lock:
            room = self._slots.room()
        if (fills := self._fills_until - time.monotonic()) > 0:
            return fills
        soon = self._leased_at + TOGETHER_SECONDS - time.monotonic()
        if soon > 0 and room.well < self._few:
            return soon
        leases = self._lease(room.well, room.troubled, live_only=live_only) if room.well or room.troubled else []
        for lease in leases:
            self._threads.submit(self._work, lease)
        troubled = sum(lease.failures > 0 for lease in leases)
        self._more_due = len(leases) - troubled == room.well
        if self._more_due:
            return min(room.more_in, POLL_SECONDS)  # a push that ends wakes the loop
        due_in = self._store.seconds_until_due(
            troubled=troubled < room.troubled, live_only=live_only, since=self._due_since
        )
        # What a look from the mark on does not find is not left to a poll that begins only now.
        poll = min(jittered(POLL_SECONDS), max(LEAST_PAUSE_SECONDS, self._low_water.whole_in))
        poll = min(without, poll) if live_only else poll
        return poll if due_in is None else max(LEAST_PAUSE_SECONDS, min(due_in, poll))

    def _lease(
        self, limit: int, troubled_limit: int, *, live_only: bool = False, thorough: bool = False
    ) -> list[Lease]:
        # Taken before the server starts the lease, so that ours ends first whatever the statement took.
        asked_at = self._leased_at = time.monotonic()
        look = partial(
            self._store.lease,
            limit=limit,
            troubled_limit=troubled_limit,
            live_only=live_only,
            lease_seconds=LEASE_SECONDS,
            last_call_ends_by=asked_at + LEASE_SECONDS - LEASE_MARGIN_SECONDS,
        )
        if limit or thorough:
            leases = self._low_water.look(lambda: look(since=self._due_since), look, thorough=thorough)
        else:
            # Without a slot for a lane that is well this is no look at everything.
            leases = look(since=self._due_since)
        self._note_due(leases)
        with self._lock:
            for lease in leases:
                self._slots.begin(lease.token, troubled=lease.failures > 0)
        return leases

    def _note_due(self, leases: Sequence[Lease]) -> None:
        if due := [lease.was_due_at for lease in leases if lease.was_due_at is not None]:
            self._due_since = min(due) - BACKWARD

    def begin_with(self, work: Callable[[Callable[[Connection], None]], T]) -> tuple[T, bool]:
        """Do something that makes lanes due, and begin to push one of them in the same transaction, if there is a slot.

        Args:
            work: as of `with_turn`.

        Returns:
            What came of the work, and whether a push has begun; with its end the loop looks for others.
        """
        slot = object()
        taken = False

        def begin(connection: Connection) -> Turn | None:
            nonlocal taken
            with self._lock:
                if self._slots.room().well == 0:
                    return None
                self._slots.begin(slot, troubled=False)
                taken = True
            return self._begin(connection)

        turn = None
        try:
            done, turn = with_turn(work, begin)
        finally:
            if taken:
                self._end(slot, turn)
        if turn is not None:
            self._threads.submit(self._work, turn.lease, turn)
        return done, turn is not None

    def _end(self, push: Hashable, following: Turn | None) -> None:
        with self._lock:
            if following is not None:
                self._slots.hand_over(push, to=following.lease.token)
            else:
                self._slots.end(push)
                self._idle.notify_all()

    def _work(self, lease: Lease, turn: Turn | None = None) -> None:
        """Push one lane, and in its slot one after another, each begun in the transaction that settles the former."""
        turn = self._push(lease, turn, goes_on=True)
        while turn is not None:
            turn = self._push(turn.lease, turn, goes_on=True)
        self.loop.wake()

    def _next_turn(self, after: Lease, connection: Connection) -> Turn | None:
        """Begin the turn of a lane that is due, in the place of one that is just being settled."""
        now = time.monotonic()
        if not self._more_due or now > after.last_call_ends_by or now < self._rows_at + ROWS_COME_SECONDS:
            return None
        with self._lock:
            if not self._slots.keep(after.token):
                return None
        turn = self._begin(connection)
        self._more_due = turn is not None
        return turn

    def _begin(self, connection: Connection) -> Turn | None:
        """Lease a lane that is due and well, and begin its turn. Now and then nobody does, so that the loop looks at
        everything.
        """
        asked_at = time.monotonic()
        if self._stop.is_set() or asked_at < self._fills_until or self._low_water.whole_in == 0:
            return None
        if self._lanes.seconds_without_budget(Priority.LIVE) > 0:
            return None
        lease = self._store.lease_next(
            connection,
            live_only=self._lanes.seconds_without_budget(Priority.BACKFILL) > 0,
            since=self._due_since,
            lease_seconds=LEASE_SECONDS,
            last_call_ends_by=asked_at + LEASE_SECONDS - LEASE_MARGIN_SECONDS,
        )
        if lease is None:
            return None
        self._note_due([lease])
        return self._lanes.begin(Look(connection, lease, in_passing=True))

    def _push(self, lease: Lease, turn: Turn | None = None, *, goes_on: bool = False) -> Turn | None:
        """Push one lane; returns the turn that is begun after it, which holds its slot."""
        started, following = time.monotonic(), None

        def progress() -> None:
            with self._lock:
                self._slots.progress(lease.token)

        try:
            pushed = self._lanes.carry_out(
                turn or self._lanes.open(lease),
                progress,
                partial(self._next_turn, lease) if goes_on else no_turn,
            )
            following = pushed.next_turn
            log.info("lane_pushed", seconds=round(time.monotonic() - started, 3), **pushed.outcomes)
        except LeaseLostError:
            self.lost_leases += 1
            LEASE_LOST.inc()
            log.warning("lease_lost", seconds=round(time.monotonic() - started, 3))
        except (psycopg.Error, PoolTimeout) as error:
            log.warning("push_lost_the_database", error=describe(error))
        except Exception:
            log.exception("push_failed")
        finally:
            self._end(lease.token, following)
        return following
