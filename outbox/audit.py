"""The audit: a slow walk over every calendar that compares what should stand there with what we put there.

It should find nothing. What it finds is marked, so that the pusher puts it right, and counted.
"""

from dataclasses import dataclass

import structlog
from psycopg.rows import class_row
from psycopg_pool import ConnectionPool

from outbox.database import Connection
from outbox.lane import LaneConnection
from outbox.payload import InvalidPayload
from outbox.plan import Known, needs_call
from outbox.rendering import rendering_of
from outbox.statements import statement
from outbox.wish import wish_for

log = structlog.get_logger(__name__)

SLICE = 200
"""Jobs looked at at a time."""


@dataclass(frozen=True, slots=True)
class AuditedJob:
    """A job, and what we put into the lane's calendar for it; None where there is nothing on record.

    Attributes:
        payload: None where there is nothing to compare: the job waits, or is over or cancelled and has no event.
    """

    job_id: str
    cancelled: bool
    payload: str | None
    event_id: str | None
    id_generation: int | None
    in_doubt: bool | None
    etag: str | None
    content_hash: bytes | None


class Audit:
    """Compares one slice a call, and begins again after the last."""

    def __init__(self, pool: ConnectionPool[Connection], *, job_url_template: str) -> None:
        self._pool = pool
        self._job_url_template = job_url_template
        self._lane: tuple[str, str] | None = None
        self._after_lane = ("", "")
        self._after_job = ""
        self.differences = 0

    def compare_slice(self) -> int:
        """Compare the next slice; returns how many jobs were marked (should be 0)."""
        with self._pool.connection() as connection:
            if self._lane is None:
                self._lane = self._next_lane(connection)
                self._after_job = ""
            if self._lane is None:
                self._after_lane = ("", "")
                return 0
            different, last_job = self._differences(connection, self._lane)
            if different:
                self._mark(connection, self._lane, different)
        if last_job is None:
            self._after_lane, self._lane = self._lane, None
        else:
            self._after_job = last_job
        if different:
            self.differences += len(different)
            log.error("audit_found_differences", jobs=len(different))
        return len(different)

    def _next_lane(self, connection: Connection) -> tuple[str, str] | None:
        row = connection.execute(
            statement("janitor/next_lane"),
            {"after_tenant_id": self._after_lane[0], "after_calendar_id": self._after_lane[1]},
        ).fetchone()
        return None if row is None else (row[0], row[1])

    def _differences(self, connection: Connection, lane: tuple[str, str]) -> tuple[list[str], str | None]:
        """The jobs of the next slice that differ, and where to go on; None at the lane's end."""
        key = {"tenant_id": lane[0], "calendar_id": lane[1]}
        with connection.cursor(row_factory=class_row(LaneConnection)) as cursor:
            wishers = cursor.execute(statement("push/read_connections"), key).fetchall()
        with connection.cursor(row_factory=class_row(AuditedJob)) as cursor:
            jobs = cursor.execute(
                statement("janitor/read_audited_jobs"), {**key, "after_job_id": self._after_job, "limit": SLICE}
            ).fetchall()
        different = [
            job.job_id for job in jobs if job.payload is not None and self._differs(lane, job, job.payload, wishers)
        ]
        return different, jobs[-1].job_id if len(jobs) == SLICE else None

    def _differs(self, lane: tuple[str, str], job: AuditedJob, payload: str, wishers: list[LaneConnection]) -> bool:
        known = None
        if job.event_id is not None and job.id_generation is not None:
            known = Known(
                job.event_id,
                job.id_generation,
                in_doubt=bool(job.in_doubt),
                etag=job.etag,
                content_hash=job.content_hash,
            )
        try:
            wish = wish_for(
                job.job_id,
                None if job.cancelled else rendering_of(job.job_id, payload, job_url_template=self._job_url_template),
                tenant_id=lane[0],
                calendar_id=lane[1],
                cancelled=job.cancelled,
                known=known,
                wishers=wishers,
            )
        except InvalidPayload:
            return True  # the pusher parks it with the reason
        except Exception:  # a job that finds a fault of ours must not end the walk
            log.exception("job_not_audited")
            return False
        return needs_call(wish, known)

    def _mark(self, connection: Connection, lane: tuple[str, str], job_ids: list[str]) -> None:
        with connection.transaction():
            if connection.execute(statement("relay/share_tenants"), {"tenant_ids": [lane[0]]}).fetchone() is None:
                return  # its wishes are just being changed; whatever is wrong is found again
            connection.execute(
                statement("janitor/mark_differences"),
                {"tenant_id": lane[0], "calendar_id": lane[1], "job_ids": job_ids},
            )
            connection.execute(statement("lane/lock_lanes"), {"tenant_ids": [lane[0]]})
            connection.execute(statement("lane/schedule_lanes"), {"tenant_ids": [lane[0]]})
