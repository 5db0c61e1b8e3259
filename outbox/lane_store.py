"""A lane as its lease holder reads and writes it: every write names the lease, and a lost lease writes nothing."""

import json
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Protocol

from psycopg.rows import args_row, class_row
from psycopg_pool import ConnectionPool

from outbox.database import Connection, pipelined_transaction
from outbox.google.resource import users_fields
from outbox.lane import DueJob, Intent, LaneConnection, Lease, LeaseLostError, Settlement, Standing
from outbox.ledger import Draw, Page, read_page, store_pages
from outbox.statements import statement


class Drawing(Protocol):
    """Who draws on the quota of an account for jobs that are about to be tried."""

    scope: str

    def draw_for(self, page: Page, asked_at: float, needs: Sequence[int]) -> tuple[Draw, int]:
        """Draw on the account's page, which is held; also says for how many of the jobs it is enough."""

    def take_up(self, draw: Draw) -> None:
        """The draw is committed."""


@dataclass(frozen=True, slots=True)
class TakenTestPush:
    """A test push as its mark is taken up; `over` if it has succeeded or failed."""

    user_id: str
    requested_at: datetime
    over: bool
    age_seconds: float


class Look:
    """What is due on a lane, as its holder sees it in an open transaction, which is short as can be.

    Attributes:
        in_passing: the lane was leased in this transaction, which is about something else as well, so that nobody and
            nothing is waited for.
    """

    def __init__(self, connection: Connection, lease: Lease, *, in_passing: bool = False) -> None:
        self._connection = connection
        self.lease = lease
        self.in_passing = in_passing

    def read(self, *, limit: int, without: Sequence[int] = ()) -> tuple[list[DueJob], list[LaneConnection]]:
        """What is due on the lane, the most urgent first, then the oldest; and who is on it.

        Args:
            without: versions of jobs whose payloads need not be read.
        """
        lease = self.lease
        with (
            self._connection.cursor(row_factory=args_row(DueJob)) as due,
            self._connection.cursor(row_factory=class_row(LaneConnection)) as connections,
        ):
            due.execute(statement("push/read_due_jobs"), {**lease.key, "limit": limit, "without": list(without)})
            connections.execute(statement("push/read_connections"), lease.key)
            return due.fetchall(), connections.fetchall()

    def begin(self, intents: Sequence[Intent], drawing: Drawing) -> "Begun | None":
        """Put on record what is about to be tried, before the first call; counts that it was begun.

        Args:
            drawing: who draws the units for it; only as many jobs are begun as these are for.

        Returns:
            None if that would have to be waited for, in passing.
        """
        asked_at = time.monotonic()
        page = self._free_page(drawing.scope) if self.in_passing else self._page(drawing.scope)
        if page is None:
            return None
        draw, jobs = drawing.draw_for(page, asked_at, [intent.units for intent in intents])
        store_pages(self._connection, [page])
        if jobs:
            _store_intents(self._connection, self.lease, intents[:jobs])
        return Begun(jobs, draw, drawing)

    def _page(self, scope: str) -> Page:
        held = self._connection.execute(
            statement("push/lock_lane_and_quota"),
            {**self.lease.key, "lease_token": self.lease.token, "scope": scope},
        )
        row = held.fetchone()
        if row is None:
            raise LeaseLostError
        return read_page(row)

    def _free_page(self, scope: str) -> Page | None:
        self._connection.execute(statement("push/wait_for_nobody"))
        row = self._connection.execute(statement("push/lock_free_quota"), {"scope": scope}).fetchone()
        return None if row is None else read_page(row)


@dataclass(frozen=True, slots=True)
class Begun:
    """What a transaction begins, once it is committed."""

    jobs: int
    draw: Draw
    drawing: Drawing

    def take_up(self) -> int:
        """The transaction is committed; how many jobs were begun."""
        self.drawing.take_up(self.draw)
        return self.jobs


class LaneStore:
    """The tables behind leases; holds no transaction while anybody talks to Google."""

    def __init__(self, pool: ConnectionPool[Connection]) -> None:
        self._pool = pool

    def lease(
        self,
        *,
        limit: int,
        troubled_limit: int,
        lease_seconds: float,
        last_call_ends_by: float,
        live_only: bool = False,
        since: datetime | None = None,
    ) -> list[Lease]:
        """Lease up to `limit` lanes that are due and well, and up to `troubled_limit` whose last push was in vain.

        Args:
            live_only: only lanes with live edits; else they go first.
            since: only lanes that became due then or later.
        """
        with self._pool.connection() as connection:
            return _lease(
                connection,
                last_call_ends_by,
                limit=limit,
                troubled_limit=troubled_limit,
                live_only=live_only,
                since=since or "-infinity",
                lease_seconds=lease_seconds,
            )

    def lease_next(
        self,
        connection: Connection,
        *,
        lease_seconds: float,
        last_call_ends_by: float,
        live_only: bool = False,
        since: datetime | None = None,
    ) -> Lease | None:
        """Lease one lane that is due and well, if there is one, in the transaction that is open on this connection."""
        leases = _lease(
            connection,
            last_call_ends_by,
            limit=1,
            troubled_limit=0,
            live_only=live_only,
            since=since or "-infinity",
            lease_seconds=lease_seconds,
        )
        return leases[0] if leases else None

    def seconds_until_due(
        self, *, troubled: bool, live_only: bool = False, since: datetime | None = None
    ) -> float | None:
        """Until the next free lane is due, None if none is; `troubled`: those pushed in vain the last time too;
        `live_only`: for a live edit; `since`: of those that are due then or later.
        """
        with self._pool.connection() as connection:
            row = connection.execute(
                statement("push/seconds_until_due"),
                {"troubled": troubled, "live_only": live_only, "since": since or "-infinity"},
            ).fetchone()
        return None if row is None else row[0]

    @contextmanager
    def looking(self, lease: Lease) -> Iterator["Look"]:
        """One transaction in which what is due is read, and may be begun; nobody may be asked anything meanwhile."""
        with pipelined_transaction(self._pool) as connection:
            yield Look(connection, lease)

    def begin(self, lease: Lease, intents: Sequence[Intent], drawing: Drawing | None = None) -> int:
        """As `Look.begin`, in a transaction of its own; returns how many were begun.

        Args:
            drawing: None where all the units for it are drawn already.
        """
        if drawing is None:
            with self._held(lease) as connection:
                _store_intents(connection, lease, intents)
            return len(intents)
        with self.looking(lease) as look:
            begun = look.begin(intents, drawing)
        return 0 if begun is None else begun.take_up()

    def take_next_id(
        self, lease: Lease, job_id: str, *, retired: str, seen_cancelled: bool, event_id: str, id_generation: int
    ) -> None:
        """Store the next event id of a job before it is used."""
        with self._held(lease) as connection:
            connection.execute(
                statement("push/retire_event"),
                {
                    **lease.key,
                    "job_id": job_id,
                    "retired_event_id": retired,
                    "calls_end_in_seconds": lease.seconds_left,
                    "seen_cancelled": seen_cancelled,
                    "event_id": event_id,
                    "id_generation": id_generation,
                },
            )

    def take_test_push(self, lease: Lease, job_id: str) -> TakenTestPush | None:
        """The test push behind a mark; None if it is forgotten."""
        with self._pool.connection() as connection, connection.cursor(row_factory=class_row(TakenTestPush)) as cursor:
            parameters = {"tenant_id": lease.tenant_id, "job_id": job_id}
            return cursor.execute(statement("test_push/take"), parameters).fetchone()

    def record_test_step(self, lease: Lease, job_id: str, *, step: str | None, failure: str | None) -> None:
        """How far a test push has come, or why it ended, at once, because its user is watching."""
        with self._held(lease) as connection:
            connection.execute(
                statement("test_push/step"),
                {"tenant_id": lease.tenant_id, "job_id": job_id, "step": step, "failure": failure},
            )

    def settle(self, lease: Lease, settlement: Settlement, then: Callable[[Connection], None] = lambda _: None) -> None:
        """Write down what was found out, and end the lease, in one transaction; `then` does more in it."""
        with self._held(lease) as connection:
            if settlement.gone_retired_ids:
                connection.execute(
                    statement("push/delete_gone_retired"), {**lease.key, "event_ids": settlement.gone_retired_ids}
                )
            if settlement.standing:
                connection.execute(statement("push/settle_events"), {**lease.key, **_answers(settlement.standing)})
            if certain := [due.job_id for due in settlement.unasked if not due.in_doubt]:
                connection.execute(statement("push/clear_doubt"), {**lease.key, "job_ids": certain})
            if settlement.done:
                connection.execute(statement("push/settle_done"), {**lease.key, **_marks(settlement.done)})
            if undone := settlement.undone:
                connection.execute(
                    statement("push/date_doubt"), {**lease.key, "job_ids": [row.due.job_id for row in undone]}
                )
                connection.execute(
                    statement("push/settle_undone"),
                    {
                        **lease.key,
                        **_marks([row.due for row in undone]),
                        "wait_seconds": [row.wait_seconds for row in undone],
                        "problems": [row.problem for row in undone],
                        "charged": [row.charged for row in undone],
                    },
                )
            connection.execute(
                statement("push/release_lane"),
                {
                    **lease.key,
                    "rest_seconds": settlement.rest_seconds,
                    "backlog_rest_seconds": settlement.backlog_rest_seconds,
                    "troubled": settlement.troubled,
                    "pushed": bool(settlement.standing),
                },
            )
            then(connection)

    @contextmanager
    def _held(self, lease: Lease) -> Iterator[Connection]:
        # In a pipeline: whoever waits for this lane need not wait for each of our statements to be asked for.
        with pipelined_transaction(self._pool) as connection:
            held = connection.execute(statement("push/lock_lane"), {**lease.key, "lease_token": lease.token})
            if held.fetchone() is None:
                raise LeaseLostError
            yield connection


def _lease(connection: Connection, last_call_ends_by: float, **parameters: Any) -> list[Lease]:
    return [
        Lease(tenant_id, calendar_id, token, failures, last_call_ends_by, due_at)
        for tenant_id, calendar_id, token, failures, due_at in connection.execute(
            statement("push/lease_lanes"), parameters
        ).fetchall()
    ]


def _store_intents(connection: Connection, lease: Lease, intents: Sequence[Intent]) -> None:
    connection.execute(
        statement("push/store_intents"),
        {
            **lease.key,
            "job_ids": [intent.due.job_id for intent in intents],
            "event_ids": [intent.event_id for intent in intents],
            "id_generations": [intent.id_generation for intent in intents],
            "present": [intent.present for intent in intents],
            "calls_end_in_seconds": lease.seconds_left,
        },
    )


def _marks(due: Sequence[DueJob]) -> dict[str, Any]:
    return {"job_ids": [job.job_id for job in due], "generations": [job.generation for job in due]}


def _answers(standing: Sequence[Standing]) -> dict[str, Any]:
    return {
        "job_ids": [row.job_id for row in standing],
        "etags": [row.resource and str(row.resource["etag"]) for row in standing],
        "content_hashes": [row.content_hash for row in standing],
        "users_fields": [None if row.resource is None else json.dumps(users_fields(row.resource)) for row in standing],
        "seen_by": [row.seen_by for row in standing],
        "seers": sorted({row.seen_by for row in standing}),
    }
