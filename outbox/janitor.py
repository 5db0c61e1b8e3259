"""Puts back what dead daemons held, checks what should be right, forgets what is over; always in slices."""

import time
from collections.abc import Callable
from dataclasses import dataclass

import psycopg
import structlog
from psycopg_pool import ConnectionPool, PoolTimeout

from outbox.audit import Audit
from outbox.database import Connection
from outbox.statements import statement

log = structlog.get_logger(__name__)

LEASES_EVERY_SECONDS = 1.0
"""Expired leases are looked for this often; it adds to what a killed daemon's lanes wait."""

DUE_TIMES_EVERY_SECONDS = 30.0
"""A pass over all lanes is begun this often."""

REMINDERS_EVERY_SECONDS = 60.0
"""Reminders are counted in days; slices follow one another while there are any."""

OLD_JOBS_EVERY_SECONDS = 5.0
"""Between two slices of the walk that looks for jobs past their retention: a million are walked in three hours, and
retention is counted in days."""

OLD_TRACES_EVERY_SECONDS = 300.0
"""Slices follow one another while there is something to forget."""

AUDIT_EVERY_SECONDS = 5.0
"""One slice of the audit; slow on purpose, because it should find nothing."""

AFTER_FAILURE_SECONDS = 30.0
"""A chore that failed is not tried again before, so that its fault does not fill the log."""

SLICE = 500
"""Rows in one transaction."""


@dataclass(slots=True)
class _Chore:
    """What is done when it is due; of one `in_slices` the next follows at once while they are full.

    `work` returns how many rows it did: lanes that can be pushed again, but for what is done in slices.
    """

    name: str
    work: Callable[[], int]
    every: float
    due_at: float
    in_slices: bool = False


class Janitor:
    """One round does what has become due of its chores."""

    def __init__(self, pool: ConnectionPool[Connection], audit: Audit, *, retention_days: int) -> None:
        self._pool = pool
        self._audit = audit
        self._walked_to = ("", "")
        self._retention_days = retention_days
        now = time.monotonic()
        self._chores = [
            _Chore("leases", self.expire_leases, 0.0, now),
            _Chore("due_times", self.mend_due_times, DUE_TIMES_EVERY_SECONDS, now + DUE_TIMES_EVERY_SECONDS),
            _Chore("reminders", self.remind, REMINDERS_EVERY_SECONDS, now, in_slices=True),
            _Chore("retention", self.delete_old_jobs, OLD_JOBS_EVERY_SECONDS, now, in_slices=True),
            _Chore("traces", self.delete_old_traces, OLD_TRACES_EVERY_SECONDS, now, in_slices=True),
            _Chore("audit", self._audit.compare_slice, AUDIT_EVERY_SECONDS, now + AUDIT_EVERY_SECONDS),
        ]
        self.mended = 0

    def work(self) -> int:
        """Do the chores that are due; returns 0 if they left nothing to push. One that fails holds up no other."""
        freed = 0
        for chore in self._chores:
            if time.monotonic() < chore.due_at:
                continue
            # Before it is tried: one that always fails must not be the one with which each round begins and ends.
            chore.due_at = time.monotonic() + chore.every
            try:
                done = chore.work()
            except (psycopg.OperationalError, psycopg.errors.ReadOnlySqlTransaction, PoolTimeout):
                raise  # it is the database that is away, and the loop waits for it
            except Exception:
                log.exception("chore_failed", chore=chore.name)
                chore.due_at = time.monotonic() + max(chore.every, AFTER_FAILURE_SECONDS)
                continue
            if not chore.in_slices:
                freed += done
            elif done >= SLICE:
                chore.due_at = time.monotonic()
        return freed

    def expire_leases(self) -> int:
        """Put back the lanes whose lease ended unsettled; returns how many."""
        with self._pool.connection() as connection:
            expired = connection.execute(statement("janitor/expire_leases"), {"limit": SLICE}).rowcount
        if expired:
            log.warning("leases_expired", lanes=expired)
        return expired

    def mend_due_times(self) -> int:
        """Derive every free lane's due time again; returns how many would have been served too late (should be 0)."""
        after, mended = ("", ""), 0
        while True:
            with self._pool.connection() as connection, connection.transaction():
                lanes = connection.execute(
                    statement("janitor/lock_lane_slice"),
                    {"after_tenant_id": after[0], "after_calendar_id": after[1], "limit": SLICE},
                ).fetchall()
                mended += connection.execute(
                    statement("janitor/mend_due"),
                    {"tenant_ids": [lane[0] for lane in lanes], "calendar_ids": [lane[1] for lane in lanes]},
                ).rowcount
            if len(lanes) < SLICE:
                break
            after = lanes[-1]
        if mended:
            self.mended += mended
            log.error("due_times_mended", lanes=mended)
        return mended

    def remind(self) -> int:
        """Remind one slice of users whose connection still waits for them; returns how many."""
        with self._pool.connection() as connection:
            return connection.execute(statement("notification/remind"), {"limit": SLICE}).rowcount

    def delete_old_jobs(self) -> int:
        """Forget those of the next slice of jobs that are past their retention; returns how many."""
        tenant_id, job_id = self._walked_to
        with self._pool.connection() as connection:
            row = connection.execute(
                statement("janitor/delete_old_jobs"),
                {
                    "retention_days": self._retention_days,
                    "after_tenant_id": tenant_id,
                    "after_job_id": job_id,
                    "limit": SLICE,
                },
            ).fetchone()
        forgotten, *last = row or (0, None, None)
        self._walked_to = ("", "") if last[0] is None else (last[0], last[1])
        return int(forgotten)

    def delete_old_traces(self) -> int:
        """Forget one slice each of what has been done with, or told, long ago; returns how many rows."""
        with self._pool.connection() as connection:
            return sum(
                connection.execute(statement(name), {"limit": SLICE}).rowcount
                for name in (
                    "janitor/delete_old_attempts",
                    "janitor/delete_old_limits",
                    "janitor/delete_old_test_pushes",
                    "notification/delete_old",
                )
            )
