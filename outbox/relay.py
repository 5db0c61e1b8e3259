"""Outbox rows become the newest state of their jobs, and marks on their tenants' calendars: one SQL transaction."""

import math
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import psycopg
import structlog
from psycopg.rows import class_row
from psycopg_pool import ConnectionPool

from outbox.connections import TEST_ABANDONED
from outbox.database import Connection, pipelined_transaction
from outbox.low_water import LowWater
from outbox.metrics import COALESCED
from outbox.payload import InvalidPayload
from outbox.rendering import Rendering, rendering_of
from outbox.rendering_cache import RenderingCache
from outbox.statements import statement
from outbox.testpush import JOB_PREFIX

log = structlog.get_logger(__name__)

Cursor = psycopg.Cursor[tuple[Any, ...]]

BATCH_ROWS = 1000
"""Outbox rows in one transaction: large enough to spread its cost, small enough that a crash repeats little."""

SMALL_BYTES = 1500
"""A payload that takes no more comes with its row, and so do all of a batch: a megabyte and a half at most."""

FEW_ROWS = 4
"""After so few a push may begin in the same transaction: it does not keep what else is committed waiting."""

BACKWARD_IDS = 200
"""A row may become visible by so much later than rows with higher ids, and is found at once all the same. Beside a
transaction that stays open every look walks over so many that are dead."""

PASSED_OVER_SECONDS = 0.2
"""After which a tenant that was passed over is looked at again, however many rows of others come."""

MAX_PAYLOAD_BYTES = 256_000
"""A job's payload above this is rejected: no manifest is that long, and one row must not keep the others waiting."""

MAX_BATCH_BYTES = 2_000_000
"""Payloads in one transaction: the slowest two megabytes are read in a few seconds, far within the session's limits."""

MAX_BATCH_SECONDS = 5.0
"""Nor is reading payloads begun again after this."""

PORTION_STORED_BYTES = 500_000
"""Payloads, as stored, that one statement unpacks: 500 usual ones, or a few that are compressed a hundredfold."""


@dataclass(frozen=True, slots=True)
class ClaimedRow:
    """A row that this transaction holds, how many bytes its payload takes as stored, and the payload if it is small."""

    id: int
    tenant_id: str
    job_id: str
    event_type: str
    stored_bytes: int
    payload: str | None = field(default=None, repr=False)


@dataclass(frozen=True, slots=True)
class OutboxRow:
    """A claimed row with its payload, None for one above the size limit."""

    id: int
    tenant_id: str
    job_id: str
    event_type: str
    payload: str | None


@dataclass(frozen=True, slots=True)
class Relayed:
    """What one transaction did, in rows; a test push counts as a changed job.

    Attributes:
        scheduled: lanes that are due at another time than before.
        held_back: a tenant that is just being changed was passed over.
        more: there are probably more rows.
    """

    claimed: int
    rejected: int
    changed_jobs: int
    scheduled: int
    held_back: bool
    more: bool


@dataclass(frozen=True, slots=True)
class _JobState:
    row_id: int
    tenant_id: str
    cancelled: bool
    rendering: Rendering | None


class Relay:
    """Takes outbox rows, as many relays at once as there are daemons."""

    def __init__(
        self,
        pool: ConnectionPool[Connection],
        *,
        debounce_seconds: float,
        max_wait_seconds: float,
        job_url_template: str,
        renderings: RenderingCache,
    ) -> None:
        """`renderings`: where what the changed jobs look like is kept for whoever pushes them."""
        self._pool = pool
        self._debounce_seconds = debounce_seconds
        self._max_wait_seconds = max_wait_seconds
        self._job_url_template = job_url_template
        self._renderings = renderings
        self._passed_over: list[str] = []
        self._passed_over_until = math.inf
        self._claimed_to = 0
        self._low_water = LowWater()

    def relay_batch(self, *, thorough: bool = False, then: Callable[[Connection], None] = lambda _: None) -> Relayed:
        """Deal with the oldest rows that no other relay holds, in one transaction.

        Args:
            thorough: nobody looks again if there are none.
            then: does more in the same transaction, if these were few.

        Raises:
            psycopg.Error: nothing happened; the rows are still there.
        """
        with pipelined_transaction(self._pool) as connection:
            if time.monotonic() >= self._passed_over_until:
                self._pass_over([])
            held_back = bool(self._passed_over)
            seen = self._low_water.look(
                lambda: self._rows(connection, self._claimed_to - BACKWARD_IDS),
                lambda: self._rows(connection, 0),
                thorough=thorough,
            )
            claimed = self._share(connection, seen)
            held_back = held_back or bool(self._passed_over)
            rows = read_payloads(connection, claimed)
            if not rows:
                # Behind those that are passed over from now on there may be others.
                return Relayed(0, 0, 0, 0, held_back, more=bool(seen))
            tests = self._pick_up_tests(connection, rows)
            states, reasons = read_rows(
                [row for row in rows if (row.tenant_id, row.job_id) not in tests],
                job_url_template=self._job_url_template,
            )
            self._renderings.remember(
                {(state.tenant_id, state.row_id): state.rendering for state in states if state.rendering is not None}
            )
            # From here on nothing is waited for, so that whoever wants these rows and lanes waits as short as can be.
            changed = self._apply(connection, states) if states else None
            if reasons:
                connection.execute(
                    statement("relay/reject_rows"), {"ids": list(reasons), "reasons": list(reasons.values())}
                )
            connection.execute(statement("relay/delete_outbox"), {"ids": [row.id for row in rows]})
            tenants = {"tenant_ids": sorted({row.tenant_id for row in rows})}
            connection.execute(statement("lane/lock_lanes"), tenants)
            scheduled = connection.execute(statement("lane/schedule_lanes"), tenants)
            if len(rows) <= FEW_ROWS:
                then(connection)
            changed_jobs, waiting_jobs = (0, 0) if changed is None else _counts(changed)
        COALESCED.inc(len(rows) - len(tests) - len(reasons) - changed_jobs + waiting_jobs)
        for row in rows:
            if row.id in reasons:
                log.warning("outbox_row_rejected", outbox_id=row.id, reason=reasons[row.id])
        more = len(rows) < len(claimed) or len(seen) == BATCH_ROWS
        return Relayed(len(rows), len(reasons), changed_jobs + len(tests), scheduled.rowcount, held_back, more)

    def _share(self, connection: Connection, rows: list[ClaimedRow]) -> list[ClaimedRow]:
        """Those of tenants whose wishes nobody changes now; the others are passed over for a while."""
        if not rows:
            self._pass_over([])
            return []
        tenant_ids = sorted({row.tenant_id for row in rows})
        shared = {
            tenant_id
            for (tenant_id,) in connection.execute(statement("relay/share_tenants"), {"tenant_ids": tenant_ids})
        }
        self._pass_over([*self._passed_over, *(tenant_id for tenant_id in tenant_ids if tenant_id not in shared)])
        return [row for row in rows if row.tenant_id in shared]

    def _pass_over(self, tenant_ids: list[str]) -> None:
        """These, from now on; all of them until it is over for the first."""
        if not tenant_ids:
            self._passed_over_until = math.inf
        elif not self._passed_over:
            self._passed_over_until = time.monotonic() + PASSED_OVER_SECONDS
        self._passed_over = tenant_ids

    def _rows(self, connection: Connection, lowest_id: int) -> list[ClaimedRow]:
        with connection.cursor(row_factory=class_row(ClaimedRow)) as cursor:
            rows = cursor.execute(
                statement("relay/claim_outbox"),
                {
                    "limit": BATCH_ROWS,
                    "lowest_id": lowest_id,
                    "small_bytes": SMALL_BYTES,
                    "passed_over": self._passed_over,
                },
            ).fetchall()
        if rows:
            self._claimed_to = max(self._claimed_to, rows[-1].id)
        return rows

    def _pick_up_tests(self, connection: Connection, rows: list[OutboxRow]) -> set[tuple[str, str]]:
        """Mark the test pushes among the rows; they are no jobs, and go to one calendar each."""
        keys = [(row.tenant_id, row.job_id) for row in rows if row.job_id.startswith(JOB_PREFIX)]
        if not keys:
            return set()
        tenant_ids, job_ids = zip(*keys, strict=True)
        picked_up = connection.execute(
            statement("test_push/pick_up"),
            {"tenant_ids": list(tenant_ids), "job_ids": list(job_ids), "nobody_there": TEST_ABANDONED},
        )
        return {(tenant_id, job_id) for tenant_id, job_id in picked_up}

    def _apply(self, connection: Connection, states: list[_JobState]) -> Cursor:
        return connection.execute(
            statement("relay/apply_rows"),
            {
                "ids": [state.row_id for state in states],
                "cancelled": [state.cancelled for state in states],
                "ends_at": [state.rendering and state.rendering.ends_at for state in states],
                "tenant_ids": sorted({state.tenant_id for state in states}),
                "quiet_seconds": self._debounce_seconds,
                "max_wait_seconds": self._max_wait_seconds,
            },
        )


def _counts(cursor: Cursor) -> tuple[int, int]:
    row = cursor.fetchone()
    if row is None:
        raise AssertionError("counts are one row")
    return row[0], row[1]


def read_payloads(connection: Connection, claimed: list[ClaimedRow]) -> list[OutboxRow]:
    """The first of the claimed rows with their payloads, as many as a batch may hold; the rest is let go at its end."""
    rows: list[OutboxRow] = []
    read_bytes, began = 0, time.monotonic()
    for portion in portions(claimed):
        if rows and (read_bytes >= MAX_BATCH_BYTES or time.monotonic() - began > MAX_BATCH_SECONDS):
            break
        payloads: dict[int, str | None] = {row.id: row.payload for row in portion}
        if large := [row.id for row in portion if row.payload is None]:
            payloads |= connection.execute(
                statement("relay/read_payloads"), {"ids": large, "max_payload_bytes": MAX_PAYLOAD_BYTES}
            ).fetchall()
        rows += [OutboxRow(row.id, row.tenant_id, row.job_id, row.event_type, payloads[row.id]) for row in portion]
        read_bytes += sum(len(payload) for payload in payloads.values() if payload is not None)
    return rows


def portions(claimed: list[ClaimedRow]) -> Iterator[list[ClaimedRow]]:
    """The rows in order, in portions that one statement can unpack. Pure."""
    portion: list[ClaimedRow] = []
    stored_bytes = 0
    for row in claimed:
        if portion and stored_bytes + row.stored_bytes > PORTION_STORED_BYTES:
            yield portion
            portion, stored_bytes = [], 0
        portion.append(row)
        stored_bytes += row.stored_bytes
    if portion:
        yield portion


def read_rows(rows: list[OutboxRow], *, job_url_template: str) -> tuple[list[_JobState], dict[int, str]]:
    """Each job's newest legal row as its state, and the reason for each illegal row by its id. Pure.

    Args:
        rows: in the order of their ids.
    """
    newest: dict[tuple[str, str], _JobState] = {}
    reasons: dict[int, str] = {}
    for row in rows:
        try:
            newest[row.tenant_id, row.job_id] = _read_row(row, job_url_template)
        except InvalidPayload as invalid:
            reasons[row.id] = str(invalid)
        except Exception:  # a row that finds a fault in our reading must not hold up the others
            log.exception("outbox_row_unreadable", outbox_id=row.id)
            reasons[row.id] = "payload: could not be read, through a fault of calendar-sync; replay it after an upgrade"
    return list(newest.values()), reasons


def _read_row(row: OutboxRow, job_url_template: str) -> _JobState:
    if row.event_type == "job.cancelled":
        return _JobState(row.id, row.tenant_id, cancelled=True, rendering=None)
    if row.payload is None:
        raise InvalidPayload(
            f"payload: is larger than {MAX_PAYLOAD_BYTES:,} bytes; send what a calendar event can show"
        )
    rendering = rendering_of(row.job_id, row.payload, job_url_template=job_url_template)
    return _JobState(row.id, row.tenant_id, cancelled=False, rendering=rendering)


def replay_rejected(pool: ConnectionPool[Connection], outbox_ids: list[int] | None = None) -> int:
    """Put rejected rows (all, or those named) back into the outbox under their original ids; returns how many."""
    with pool.connection() as connection:
        return connection.execute(statement("relay/replay_rejected"), {"ids": outbox_ids}).rowcount
