"""The pusher: keeps every free slot busy with the lane that has been due longest."""

import threading
import time
from concurrent.futures import ThreadPoolExecutor

import psycopg
import structlog
from psycopg_pool import PoolTimeout

from outbox.database import describe
from outbox.lane import LaneStore, Lease, LeaseLostError
from outbox.loops import Loop, jittered
from outbox.push import LanePusher

log = structlog.get_logger(__name__)

LEASE_SECONDS = 30.0
"""How long a killed daemon's lanes stay taken. Outlives a push, whose calls end LEASE_MARGIN_SECONDS before it."""

LEASE_MARGIN_SECONDS = 5.0
"""Between the last moment a call may be under way and the end of the lease: time to settle."""

TROUBLED_SHARE = 0.5
"""Of the slots, for lanes whose last push was in vain: they may hang again for as long as a call takes."""

LEAST_PAUSE_SECONDS = 0.02
"""Between two looks at a lane that is due and that somebody else is just taking."""

POLL_SECONDS = 2.0
"""How late a lane is noticed that another daemon made due."""


class Pusher:
    """Leases lanes and has them pushed by a fixed number of threads."""

    def __init__(self, store: LaneStore, lanes: LanePusher, *, concurrency: int, stop: threading.Event) -> None:
        self._store = store
        self._lanes = lanes
        self._stop = stop
        self._slots = concurrency
        self._busy = 0
        self._busy_in_trouble = 0
        self._lock = threading.Lock()  # guards both
        self._idle = threading.Condition(self._lock)
        self._threads = ThreadPoolExecutor(concurrency, thread_name_prefix="push")
        self.lost_leases = 0
        self.loop = Loop("pusher", self._round, stop)

    def finish(self, timeout: float) -> bool:
        """Wait for the pushes under way, which end soon once `stop` is set; False if one did not."""
        self._threads.shutdown(wait=False)
        with self._lock:
            return self._idle.wait_for(lambda: self._busy == 0, timeout)

    def drain(self) -> None:
        """Push every lane that is due, in this thread, until none is or `stop` is set."""
        while not self._stop.is_set() and (leases := self._lease(1, 1)):
            self._push(leases[0])

    def _round(self) -> float:
        with self._lock:
            free = self._slots - self._busy
            free_in_trouble = max(0, max(1, int(self._slots * TROUBLED_SHARE)) - self._busy_in_trouble)
        if free == 0:
            return POLL_SECONDS  # a push that ends wakes the loop
        leases = self._lease(free, min(free, free_in_trouble))
        for lease in leases:
            self._threads.submit(self._push, lease)
        if len(leases) == free:
            return POLL_SECONDS
        due_in = self._store.seconds_until_due(troubled=free_in_trouble > 0)
        poll = jittered(POLL_SECONDS)
        return poll if due_in is None else max(LEAST_PAUSE_SECONDS, min(due_in, poll))

    def _lease(self, limit: int, troubled_limit: int) -> list[Lease]:
        # Taken before the server starts the lease, so that ours ends first whatever the statement took.
        asked_at = time.monotonic()
        leases = self._store.lease(
            limit=limit,
            troubled_limit=troubled_limit,
            lease_seconds=LEASE_SECONDS,
            last_call_ends_by=asked_at + LEASE_SECONDS - LEASE_MARGIN_SECONDS,
        )
        with self._lock:
            self._busy += len(leases)
            self._busy_in_trouble += sum(lease.failures > 0 for lease in leases)
        return leases

    def _push(self, lease: Lease) -> None:
        started = time.monotonic()
        try:
            outcomes = self._lanes.push(lease)
            log.info("lane_pushed", seconds=round(time.monotonic() - started, 3), **outcomes)
        except LeaseLostError:
            self.lost_leases += 1
            log.warning("lease_lost", seconds=round(time.monotonic() - started, 3))
        except (psycopg.Error, PoolTimeout) as error:
            log.warning("push_lost_the_database", error=describe(error))
        except Exception:
            log.exception("push_failed")
        finally:
            with self._lock:
                self._busy -= 1
                self._busy_in_trouble -= lease.failures > 0
                self._idle.notify_all()
            self.loop.wake()
