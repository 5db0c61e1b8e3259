"""The daemon's share of the project's quota: drawn about once a second, handed out to its pushes from memory."""

import math
import threading
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass

import psycopg
import structlog
from psycopg_pool import ConnectionPool, PoolTimeout

from outbox.database import Connection, describe
from outbox.ledger import OUT_OF_REACH, PROJECT, lock_pages, quota_transaction, store_pages
from outbox.plan import LATE_ARRIVAL_SECONDS
from outbox.quota import Grant, Limit, Priority, leaves_at
from outbox.statements import statement

log = structlog.get_logger(__name__)

REFRESH_SECONDS = 1.0
"""Between two draws of a busy daemon."""

USABLE_SECONDS = 10.0
"""What was drawn is not handed out later than this: a daemon that dies keeps it from the others for not much longer."""

REQUEST_SECONDS = 15.0
"""A request is over within this; no call of ours may take longer than ten."""

AHEAD = 1.5
"""A pool is as large as what the last second used, and half as much again."""

LEAST_UNITS = 50
"""A daemon with little to do draws so many at once, enough for a batch; never more than a hundredth of the limit."""

LONGEST_WAIT_SECONDS = 1.0
"""After a refusal the table is asked again within this: another daemon may have given back what it did not use."""

LEAST_WAIT_SECONDS = 0.01
"""A refusal stands for so long at least."""

RETRY_SECONDS = 1.0
"""After the table could not be reached, nobody tries again for so long."""

PATIENCE_SECONDS = 2.0
"""Nobody waits longer for somebody else's draw; one that does not reach the table ends before."""


@dataclass(frozen=True, slots=True)
class _Account:
    """What a draw reports, as it was when the draw began; what is over meanwhile is for the next one."""

    asked_at: float
    left: int
    in_flight: int
    held: Counter[int]
    used: Counter[int]
    uncounted: int
    paced: bool


class ProjectPool:
    """Threads share it. One of them draws at a time, and those who need what it draws wait for it, together and not for
    long: the lock is never held while the database is asked.
    """

    def __init__(
        self, pool: ConnectionPool[Connection], limit: Limit, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._pool = pool
        self._limit = limit
        self._clock = clock
        self._lock = threading.Lock()  # guards what follows
        self._drawn = threading.Condition(self._lock)
        self._drawing = False
        self._left = 0
        self._in_flight = 0
        self._held: Counter[int] = Counter()
        self._used: Counter[int] = Counter()
        self._paced = True
        self._uncounted = 0
        self._asked_at = -math.inf
        self._asked_now = 0.0
        self._dry_until = dict.fromkeys(Priority, -math.inf)
        self._unreachable_until = -math.inf

    def take(self, priority: Priority) -> bool:
        """A unit for one request that begins now; False if the project has none left for requests of this priority."""
        with self._lock:
            if self._ready(priority) == 0:
                return False
            self._left -= 1
            self._in_flight += 1
            return True

    def offers(self, priority: Priority) -> int:
        """How many requests may be counted on; none is taken."""
        with self._lock:
            return self._ready(priority)

    def offers_at_hand(self, priority: Priority) -> int:
        """As `offers`, of what there is without asking the database or waiting for whoever asks it."""
        with self._lock:
            return self._left if self._usable() and self._clock() >= self._dry_until[priority] else 0

    def over(self, *, answered: bool) -> None:
        """A request is over."""
        with self._lock:
            arrived = self._database_time() + (0.0 if answered else LATE_ARRIVAL_SECONDS)
            self._used[leaves_at(arrived)] += 1
            self._in_flight -= 1
            self._uncounted += 1

    def wait(self, priority: Priority) -> float:
        """Seconds for which it is no use to ask; 0 if it may be."""
        with self._lock:
            until = self._dry_until[priority]
            if self._left == 0:
                until = max(until, self._unreachable_until)
            return max(0.0, until - self._clock())

    def refresh(self) -> None:
        """Report what was used, and draw for the next second. Where nothing was used nothing is drawn, and what was
        drawn too long ago is given back.
        """
        with self._lock:
            if self._drawing or self._clock() < self._unreachable_until:
                return
            if self._uncounted:
                self._try_exchange(Priority.BACKFILL, again=True)
            elif self._left and not self._usable():
                self._try_exchange(Priority.BACKFILL, again=False)

    def give_back(self) -> None:
        """Report what was used and draw nothing more.

        Raises:
            psycopg.Error, PoolTimeout: the table could not be reached.
        """
        with self._lock:
            self._drawn.wait_for(lambda: not self._drawing, PATIENCE_SECONDS)
            if not self._drawing and (self._uncounted or +self._held):
                self._exchange(Priority.BACKFILL, again=False)

    def _ready(self, priority: Priority) -> int:
        while self._clock() >= self._dry_until[priority]:
            if self._left and self._usable():
                return self._left
            if self._clock() < self._unreachable_until:
                break
            if not self._drawing:
                self._try_exchange(priority, again=True)
            elif not self._drawn.wait_for(lambda: not self._drawing, PATIENCE_SECONDS):
                self._unreachable_until = self._clock() + RETRY_SECONDS
        return 0

    def _usable(self) -> bool:
        return self._clock() - self._asked_at < USABLE_SECONDS

    def _try_exchange(self, priority: Priority, *, again: bool) -> None:
        try:
            self._exchange(priority, again=again)
        except OUT_OF_REACH as error:
            self._unreachable_until = self._clock() + RETRY_SECONDS
            log.warning("project_quota_out_of_reach", error=describe(error))

    def _exchange(self, priority: Priority, *, again: bool) -> None:
        """One transaction: what was used instead of what was held, and, `again`, a new pool. Lets go of the lock
        meanwhile.
        """
        account = _Account(
            self._clock(), self._left, self._in_flight, self._held, self._used, self._uncounted, self._paced
        )
        # Should the database fail on the way, nobody knows what it has written: then what was held counts to its end.
        self._held, self._left, self._paced = Counter(), 0, False
        self._used, self._uncounted = Counter(), 0
        wanted, least = self._wanted(account, priority) if again else (0, 0)
        self._drawing = True
        self._lock.release()
        drawn, untouched = None, False
        try:
            drawn = self._write(account, priority, wanted, least)
        except (psycopg.errors.LockNotAvailable, PoolTimeout):
            untouched = True
            raise
        finally:
            self._lock.acquire()
            self._drawing = False
            self._drawn.notify_all()
            if drawn is None:
                self._used += account.used
                self._uncounted += account.uncounted
            if untouched:
                self._held, self._left, self._paced = account.held, account.left, account.paced
        grant, now = drawn
        self._left, self._held = grant.units, Counter({grant.until: grant.units + account.in_flight})
        self._paced = priority is not Priority.LIVE
        self._asked_at, self._asked_now = account.asked_at, now
        if grant.units == 0 and again:
            # What is refused to the more urgent is refused to all behind it.
            wait = max(LEAST_WAIT_SECONDS, min(grant.wait, LONGEST_WAIT_SECONDS))
            self._dry_until.update({one: self._clock() + wait for one in Priority if one >= priority})

    def _wanted(self, account: _Account, priority: Priority) -> tuple[int, int]:
        """How much to draw, and what is worth drawing."""
        few = max(1, min(LEAST_UNITS, self._limit.per_minute // 100))
        seconds = max(REFRESH_SECONDS, account.asked_at - self._asked_at)
        wanted = max(few, math.ceil(AHEAD * account.uncounted / seconds))
        # What is kept back for live edits is less than others wait for.
        return wanted, min(wanted, few if priority is Priority.LIVE else self._limit.chunk)

    def _write(self, account: _Account, priority: Priority, wanted: int, least: int) -> tuple[Grant, float]:
        with quota_transaction(self._pool) as connection:
            page = lock_pages(connection, [PROJECT])[PROJECT]
            until = leaves_at(page.now + USABLE_SECONDS + REQUEST_SECONDS)
            # What is under way was drawn before, and is drawn for no longer than that.
            used = account.used + Counter({until: account.in_flight})
            page.window.settle(page.now, self._limit, held=account.held, used=used, paced=account.paced)
            grant = page.window.draw(page.now, self._limit, priority, wanted=wanted, least=least, until=until)
            store_pages(connection, [page])
            if account.uncounted:
                connection.execute(statement("budget/count_requests"), {"requests": account.uncounted})
        return grant, page.now

    def _database_time(self) -> float:
        """The database's time now, at the latest: counted from before it was asked."""
        return self._asked_now + (self._clock() - self._asked_at)
