"""The refresher: renews tokens before a push needs them, and looks at every idle grant about once a day.

So a dead grant is found, and its user told, before a job is missed, and none dies of disuse. What it learns of a grant
is put on record; what it learns of the token server or of our own client touches nobody's connection.
"""

import threading
import time
from dataclasses import dataclass, field

import structlog
from psycopg.rows import class_row
from psycopg_pool import ConnectionPool

from outbox.access import Access
from outbox.database import Connection
from outbox.loops import jittered
from outbox.statements import statement
from outbox.trouble import Broken, Resting

log = structlog.get_logger(__name__)

IN_USE_SECONDS = 6 * 3600.0
"""A connection that pushed within so long is kept with a fresh token, so that no push waits for one."""

CLAIM_SECONDS = 300.0
"""For so long a grant is nobody else's: longer than a refresh with its repeats, and there is time for another try."""

ROUND_SECONDS = 30.0
"""No refresh is begun later than this in a round."""

LOOK_SECONDS = 60.0
"""How late it may be noticed that something has become due earlier than was thought."""

PAUSE_SECONDS = 15.0
"""After a refresh that the token server did not answer; twice as long after each further one."""

LONGEST_PAUSE_SECONDS = 300.0


@dataclass(frozen=True, slots=True)
class ClaimedGrant:
    """A grant whose token is due; encrypted, with seconds from now. `wanted`: it is to be renewed now."""

    wanted: bool
    tenant_id: str
    user_id: str
    connection_id: int
    grant_version: int
    refresh_token: bytes | None = field(repr=False)
    access_token: bytes | None = field(repr=False)
    access_token_seconds_left: float | None


class Refresher:
    """One round renews what is due, one grant after another; daemons share the work through the claims."""

    def __init__(self, pool: ConnectionPool[Connection], access: Access, stop: threading.Event) -> None:
        self._pool = pool
        self._access = access
        self._stop = stop
        self._failures = 0

    def work(self) -> float:
        """Returns the seconds until the next round."""
        until = time.monotonic() + ROUND_SECONDS
        while not self._stop.is_set() and time.monotonic() < until:
            grant = self._claim()
            if grant is None:
                return self._seconds_until_due()
            if grant.wanted and (pause := self._renew(grant)):
                return pause
        return 0.0

    def _renew(self, grant: ClaimedGrant) -> float:
        """Renew one; returns for how long it is no use to ask for any other."""
        result = self._access.access_token(grant, refused=True)
        match result:
            case Broken():
                self._access.record_trouble(grant, result)
            case Resting() if self._stop.is_set():
                return 0.0
            case Resting():
                if result.operators_matter:
                    self._access.alarm.tell(result.reason)
                if result.everybodys:
                    return result.seconds if result.operators_matter else self._pause(result.reason)
                return 0.0  # it is this one's alone, and its claim puts it off
        if self._failures:
            log.info("token_server_answers_again", after_failures=self._failures)
        self._failures = 0
        return 0.0

    def _pause(self, reason: str) -> float:
        if not self._failures:
            log.warning("token_server_failed", reason=reason)
        self._failures += 1
        return jittered(min(PAUSE_SECONDS * 2.0 ** min(self._failures - 1, 10), LONGEST_PAUSE_SECONDS))

    def _claim(self) -> ClaimedGrant | None:
        with self._pool.connection() as connection, connection.cursor(row_factory=class_row(ClaimedGrant)) as cursor:
            parameters = {"in_use_seconds": IN_USE_SECONDS, "claim_seconds": CLAIM_SECONDS}
            return cursor.execute(statement("refresh/claim"), parameters).fetchone()

    def _seconds_until_due(self) -> float:
        with self._pool.connection() as connection:
            row = connection.execute(statement("refresh/seconds_until_due")).fetchone()
        due_in = None if row is None else row[0]
        return LOOK_SECONDS if due_in is None else min(max(due_in, 1.0), LOOK_SECONDS)
