"""The daemon's share of the project's quota: drawn about once a second, handed out to its pushes from memory."""

import math
import threading
import time
from collections import Counter
from collections.abc import Callable

from psycopg_pool import ConnectionPool

from outbox.database import Connection
from outbox.ledger import PROJECT, lock_pages, store_pages
from outbox.plan import LATE_ARRIVAL_SECONDS
from outbox.quota import Limit, Priority, leaves_at
from outbox.statements import statement

REFRESH_SECONDS = 1.0
"""Between two draws of a busy daemon."""

USABLE_SECONDS = 10.0
"""What was drawn is not handed out later than this: a daemon that dies keeps it from the others for not much longer."""

REQUEST_SECONDS = 15.0
"""A request is over within this; no call of ours may take longer than ten."""

AHEAD = 1.5
"""A pool is as large as what the last second used, and half as much again."""

LEAST_UNITS = 20
"""A daemon with little to do draws so many at once; never more than a hundredth of the limit."""

LONGEST_WAIT_SECONDS = 1.0
"""After a refusal the table is asked again within this: another daemon may have given back what it did not use."""


class ProjectPool:
    """Threads share it; while one draws, the others wait the milliseconds that it takes."""

    def __init__(
        self, pool: ConnectionPool[Connection], limit: Limit, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._pool = pool
        self._limit = limit
        self._clock = clock
        self._lock = threading.Lock()  # guards what follows
        self._left = 0
        self._in_flight = 0
        self._held: Counter[int] = Counter()
        self._used: Counter[int] = Counter()
        self._paced = True
        self._uncounted = 0
        self._asked_at = -math.inf
        self._asked_now = 0.0
        self._dry_until = dict.fromkeys(Priority, -math.inf)

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
            return max(0.0, self._dry_until[priority] - self._clock())

    def refresh(self) -> None:
        """Report what was used, and draw for the next second; nothing where nothing was used."""
        with self._lock:
            if self._uncounted:
                self._exchange(Priority.BACKFILL, again=True)

    def give_back(self) -> None:
        """Report what was used and draw nothing more."""
        with self._lock:
            if self._uncounted or self._held:
                self._exchange(Priority.BACKFILL, again=False)

    def _ready(self, priority: Priority) -> int:
        now = self._clock()
        if now < self._dry_until[priority]:
            return 0
        if self._left == 0 or now - self._asked_at >= USABLE_SECONDS:
            self._exchange(priority, again=True)
        return self._left if self._clock() >= self._dry_until[priority] else 0

    def _exchange(self, priority: Priority, *, again: bool) -> None:
        """One transaction: what was used instead of what was held, and, `again`, a new pool."""
        asked_at, limit = self._clock(), self._limit
        held, used, paced = self._held, self._used, self._paced
        few = max(1, min(LEAST_UNITS, limit.per_minute // 100))
        seconds = max(REFRESH_SECONDS, asked_at - self._asked_at)
        wanted = max(few, math.ceil(AHEAD * self._uncounted / seconds)) if again else 0
        # What is kept back for live edits is less than others wait for.
        least = min(wanted, few if priority is Priority.LIVE else limit.chunk)
        # Should the database fail on the way, nobody knows what it has written: then what was held counts to its end.
        self._held, self._left, self._paced = Counter(), 0, False
        with self._pool.connection() as connection, connection.transaction():
            page = lock_pages(connection, [PROJECT])[PROJECT]
            until = leaves_at(page.now + USABLE_SECONDS + REQUEST_SECONDS)
            # What is under way was drawn before, and is drawn for no longer than that.
            page.window.settle(page.now, limit, held=held, used=used + Counter({until: self._in_flight}), paced=paced)
            grant = page.window.draw(page.now, limit, priority, wanted=wanted, least=least, until=until)
            store_pages(connection, [page])
            if self._uncounted:
                connection.execute(statement("budget/count_requests"), {"requests": self._uncounted})
        self._left, self._held = grant.units, Counter({until: grant.units + self._in_flight})
        self._used, self._uncounted, self._paced = Counter(), 0, priority is not Priority.LIVE
        self._asked_at, self._asked_now = asked_at, page.now
        if grant.units == 0 and again:
            # What is refused to the more urgent is refused to all behind it.
            wait = min(grant.wait, LONGEST_WAIT_SECONDS)
            self._dry_until.update({one: self._clock() + wait for one in Priority if one >= priority})

    def _database_time(self) -> float:
        """The database's time now, at the latest: counted from before it was asked."""
        return self._asked_now + (self._clock() - self._asked_at)
