"""Units of Google's quotas for whoever pushes: a unit of the account's and one of the project's for every request.

All daemons draw from the same tables. An account's units are drawn by a push for what it is about to do, in the
transaction that stores its intents; what it did with them is written down together with the other pushes' of that
second, or when the same daemon draws for that account again.
"""

import math
import threading
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

import structlog
from psycopg_pool import ConnectionPool

from outbox.database import Connection, describe
from outbox.lane import LaneConnection, Lease
from outbox.ledger import (
    OUT_OF_REACH,
    Draw,
    Page,
    account_scope,
    lock_free_pages,
    lock_pages,
    quota_transaction,
    store_pages,
)
from outbox.plan import LATE_ARRIVAL_SECONDS
from outbox.project_pool import REFRESH_SECONDS, RETRY_SECONDS, ProjectPool
from outbox.quota import DAY_ALARM, DAY_BILLING_THRESHOLD, LONGEST_CHARGE_SECONDS, Limit, Priority, leaves_at
from outbox.statements import statement

log = structlog.get_logger(__name__)

TOP_UP = 8
"""Units drawn at once for a conversation that takes more than was expected: as many calls as one may have."""

ALARM_EVERY_SECONDS = 60.0
"""Between two looks at what 24 hours amount to."""

FORGET_EVERY_SECONDS = 3600.0
"""Between two clearances of what no longer counts."""


@dataclass(slots=True)
class _Return:
    """What was drawn for an account, and what was done with it."""

    held: Counter[int] = field(default_factory=Counter)
    used: Counter[int] = field(default_factory=Counter)
    latest_at: float = 0.0


class Budget:
    """What this daemon may send. Threads share it."""

    def __init__(self, pool: ConnectionPool[Connection], *, user_per_minute: int, project_per_minute: int) -> None:
        self._pool = pool
        self.user_limit = Limit(user_per_minute)
        self.project = ProjectPool(pool, Limit(project_per_minute))
        self._lock = threading.Lock()  # guards _returns
        self._returns: dict[tuple[str, bool], _Return] = {}
        self._alarm_at = self._forget_at = time.monotonic()

    def ration(self, lease: Lease, priority: Priority) -> "Ration":
        """For one push."""
        return Ration(self, lease, priority)

    def seconds_without(self, priority: Priority) -> float:
        """How long the project has nothing left for such pushes, so that none need be begun."""
        return self.project.wait(priority)

    def work(self) -> float:
        """Write down what was used; the seconds until there may be more of it."""
        self.project.refresh()
        self._settle_accounts()
        now = time.monotonic()
        if now >= self._alarm_at:
            self._alarm_at = now + ALARM_EVERY_SECONDS
            self._raise_alarm()
        if now >= self._forget_at:
            self._forget_at = now + FORGET_EVERY_SECONDS
            with self._pool.connection() as connection:
                connection.execute(statement("budget/forget_hours"))
                connection.execute(statement("budget/forget_quotas"))
        return REFRESH_SECONDS

    def give_back(self) -> None:
        """Write down what was used; nothing stays drawn. For the end of a daemon."""
        try:
            self.project.give_back()
        finally:
            self._settle_accounts()

    def draw_apart(self, allowance: "Allowance", wanted: int) -> None:
        """Draw for an account in a transaction of its own."""
        with quota_transaction(self._pool) as connection:
            asked_at = time.monotonic()
            page = lock_pages(connection, [allowance.scope])[allowance.scope]
            draw = allowance.draw(page, asked_at, wanted=wanted, least=1)
            store_pages(connection, [page])
        allowance.take_up(draw)

    def settle_before(self, page: Page) -> None:
        """What is known of an account whose row is held goes into it first."""
        for paced in (False, True):
            with self._lock:
                returned = self._returns.pop((page.scope, paced), None)
            if returned is not None:
                page.window.settle(page.now, self.user_limit, held=returned.held, used=returned.used, paced=paced)

    def give_back_to(self, scope: str, held: Counter[int], used: Counter[int], *, paced: bool) -> None:
        """A push is over: to be written down soon. Until then what it drew counts as if it were all to come."""
        with self._lock:
            returned = self._returns.setdefault((scope, paced), _Return())
            returned.held += held
            returned.used += used
            returned.latest_at = time.monotonic()

    def _settle_accounts(self) -> None:
        """What somebody holds waits for the next time, and is forgotten once nothing of it counts any more."""
        now = time.monotonic()
        with self._lock:
            for key, returned in list(self._returns.items()):
                if now - returned.latest_at > LONGEST_CHARGE_SECONDS:
                    del self._returns[key]
            scopes = {scope for scope, _ in self._returns}
        if scopes:
            with quota_transaction(self._pool) as connection:
                pages = lock_free_pages(connection, scopes)
                for page in pages.values():
                    self.settle_before(page)
                store_pages(connection, pages.values())

    def _raise_alarm(self) -> None:
        with self._pool.connection() as connection:
            row = connection.execute(statement("budget/raise_alarm"), {"alarm": DAY_ALARM}).fetchone()
        if row is not None:
            log.error("requests_of_24_hours_near_googles_threshold", requests=row[0], threshold=DAY_BILLING_THRESHOLD)


class Allowance:
    """What one push may send through one account: the meter of its requests. Used by one thread."""

    def __init__(self, budget: Budget, scope: str, lease: Lease, priority: Priority) -> None:
        self.scope = scope
        self._budget = budget
        self._lease = lease
        self._priority = priority
        self._left = 0
        self._held: Counter[int] = Counter()
        self._used: Counter[int] = Counter()
        self._draw: Draw | None = None
        self._dry_until = -math.inf

    @property
    def wait(self) -> float:
        """Seconds until it is worth to ask again; 0 unless there was less than was wanted."""
        return max(0.0, self._dry_until - time.monotonic())

    def draw(self, page: Page, asked_at: float, *, wanted: int, least: int) -> Draw:
        """Draw from the account's row, which is held and will be stored; counts once it is taken up."""
        self._budget.settle_before(page)
        # Should we be killed, no connection of ours lives on, and no request arrives after the last one could be made.
        until = leaves_at(page.now + max(0.0, self._lease.last_call_ends_by - asked_at))
        grant = page.window.draw(
            page.now, self._budget.user_limit, self._priority, wanted=wanted, least=least, until=until
        )
        return Draw(grant.units, grant.until, grant.wait, asked_at, page.now)

    def draw_for(self, page: Page, asked_at: float, needs: Sequence[int]) -> tuple[Draw, int]:
        """Draw for as many of these jobs as possible, in their order; also says for how many."""
        least = max(needs[0], min(sum(needs), self._budget.user_limit.chunk))
        draw = self.draw(page, asked_at, wanted=sum(needs), least=least)
        return draw, fitting(needs, draw.units)

    def take_up(self, draw: Draw) -> None:
        """What was drawn is committed."""
        self._left += draw.units
        self._held[draw.until] += draw.units
        self._draw = draw
        self._dry_until = time.monotonic() + draw.wait if draw.wait > 0 else -math.inf

    def take(self) -> bool:
        """A unit for one request, of the account's and of the project's."""
        if self._left == 0 and (self.wait > 0 or not self._drew_more()):
            return False
        project = self._budget.project
        if not project.take(self._priority):
            self._rest(project.wait(self._priority))
            return False
        self._left -= 1
        return True

    def over(self, *, answered: bool) -> None:
        """The request is over."""
        draw = self._draw
        if draw is None:
            raise AssertionError("no request without a draw")
        arrived = draw.now + (time.monotonic() - draw.asked_at) + (0.0 if answered else LATE_ARRIVAL_SECONDS)
        self._used[leaves_at(arrived)] += 1
        self._budget.project.over(answered=answered)

    def close(self) -> None:
        """The push is over."""
        if self._held:
            self._budget.give_back_to(self.scope, self._held, self._used, paced=self._priority is not Priority.LIVE)
        self._held, self._used, self._left = Counter(), Counter(), 0

    def _drew_more(self) -> bool:
        try:
            self._budget.draw_apart(self, TOP_UP)
        except OUT_OF_REACH as error:
            # For a push it is the same as being out of quota: what it has found out has still to be settled.
            log.warning("account_quota_out_of_reach", error=describe(error))
            self._rest(RETRY_SECONDS)
        return self._left > 0

    def _rest(self, seconds: float) -> None:
        self._dry_until = max(self._dry_until, time.monotonic() + seconds)


class Ration:
    """What one push may send, through one account or another."""

    def __init__(self, budget: Budget, lease: Lease, priority: Priority) -> None:
        self._budget = budget
        self._lease = lease
        self.priority = priority
        self._allowances: dict[str, Allowance] = {}

    def of(self, connection: LaneConnection) -> Allowance:
        """Through this connection's account."""
        scope = account_scope(connection.account_id, connection.connection_id)
        if scope not in self._allowances:
            self._allowances[scope] = Allowance(self._budget, scope, self._lease, self.priority)
        return self._allowances[scope]

    def affordable(self, needs: Sequence[int]) -> int:
        """How many of these jobs the project has something left for, in their order."""
        return _affordable(needs, self._budget.project.offers(self.priority))

    def affordable_at_hand(self, needs: Sequence[int]) -> int:
        """As `affordable`, as far as that can be said without asking the database; 0 if it cannot."""
        return _affordable(needs, self._budget.project.offers_at_hand(self.priority))

    @property
    def wait(self) -> float:
        """Seconds until the first account that had too little has some, and the project too; 0 if neither had."""
        waits = [allowance.wait for allowance in self._allowances.values() if allowance.wait > 0]
        return max(min(waits, default=0.0), self._budget.project.wait(self.priority))

    def close(self) -> None:
        """The push is over."""
        for allowance in self._allowances.values():
            allowance.close()


def _affordable(needs: Sequence[int], offered: int) -> int:
    return max(1, fitting(needs, offered)) if offered else 0


def fitting(needs: Sequence[int], units: int) -> int:
    """How many jobs, in their order, so many units are enough for."""
    for jobs, need in enumerate(needs):
        units -= need
        if units < 0:
            return jobs
    return len(needs)
