"""Job traffic from a file, and a producer that plays it into the outbox as a jobs service would.

A file is JSON lines: a header (day zero, tenants with their office users), then one outbox row a line. A row marked
`rollback` belongs to a transaction that is rolled back; one marked `broken` is to be set aside by the daemon.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import psycopg
from psycopg.types.json import Jsonb
from pydantic import TypeAdapter, ValidationError

SAMPLE = Path(__file__).with_name("data") / "sample.jsonl"
"""The packaged traffic: a few dozen jobs with everything that real dispatch data holds."""

CREATE_JOBS = """
CREATE SCHEMA IF NOT EXISTS jobs_service;
CREATE TABLE IF NOT EXISTS jobs_service.job (
    tenant_id text NOT NULL,
    job_id text NOT NULL,
    payload jsonb NOT NULL,
    cancelled boolean NOT NULL,
    PRIMARY KEY (tenant_id, job_id)
)
"""
"""The producer's own table. The jobs service has one like it; nothing of the calendar sync reads it."""

CHANGE_JOB = """
INSERT INTO jobs_service.job AS job (tenant_id, job_id, payload, cancelled)
VALUES (%(tenant_id)s, %(job_id)s, %(payload)s, %(cancelled)s)
ON CONFLICT (tenant_id, job_id) DO UPDATE SET payload = excluded.payload, cancelled = excluded.cancelled
"""
"""Changes and thereby locks the job, so that outbox ids of one job are in commit order."""

ANNOUNCE_JOB = """
INSERT INTO calendar_sync.outbox (tenant_id, job_id, event_type, payload)
SELECT tenant_id, job_id, %(event_type)s, payload
FROM jobs_service.job
WHERE tenant_id = %(tenant_id)s AND job_id = %(job_id)s
RETURNING id
"""
"""Takes the payload from the row that the same transaction has locked."""


class TrafficError(ValueError):
    """The file is no job traffic; the message names the line and what is wrong with it."""


@dataclass(frozen=True, slots=True)
class Tenant:
    """A tenant of the header: its IANA time zone and the user ids of its office."""

    timezone: str
    office_users: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Header:
    """The file's first line; other fields in it are for human readers. `day_zero` is an ISO date."""

    day_zero: str
    tenants: Mapping[str, Tenant]


@dataclass(frozen=True, slots=True)
class TrafficRow:
    """One outbox row. `at` is in seconds after the traffic's beginning; `broken` names the fault, None if sound."""

    at: float
    tenant_id: str
    job_id: str
    event_type: str
    payload: object
    rollback: bool = False
    broken: str | None = None


@dataclass(frozen=True, slots=True)
class Traffic:
    """A file's content, its rows in the file's order."""

    header: Header
    rows: tuple[TrafficRow, ...]


Line = TypeVar("Line", Header, TrafficRow)

HEADER = TypeAdapter(Header)
ROW = TypeAdapter(TrafficRow)


@dataclass(frozen=True, slots=True)
class Commit:
    """A row whose transaction committed between `sent` and `committed` (both `time.time()`).

    `row` is the index in `Traffic.rows`, `outbox_id` the id that the database gave.
    """

    row: int
    tenant_id: str
    job_id: str
    outbox_id: int
    sent: float
    committed: float


def read_traffic(path: Path) -> Traffic:
    """Reads a traffic file. Raises TrafficError for a malformed one and OSError for one that cannot be read."""
    with path.open(encoding="utf-8") as lines:
        header = _read_line(path, 1, lines.readline(), HEADER)
        rows = tuple(_read_line(path, number, line, ROW) for number, line in enumerate(lines, 2))
    unknown = {row.tenant_id for row in rows} - header.tenants.keys()
    if unknown:
        raise TrafficError(f"{path}: line 1: tenants: lacks {', '.join(sorted(unknown))}, of which there are rows")
    return Traffic(header, rows)


def replay(
    traffic: Traffic,
    database_url: str,
    *,
    speed: float | None = None,
    on_commit: Callable[[Commit], None] = lambda _: None,
    pause: Callable[[float], object] = time.sleep,
) -> list[Commit]:
    """Plays the rows in order, one transaction each, and returns the commits.

    As fast as the database takes them, or with a `speed` of N at N times real time; `pause` waits for that many
    seconds. `on_commit` hears of each committed row. Rows marked `rollback` are inserted and rolled back.
    """
    commits = []
    with psycopg.connect(database_url) as connection:
        connection.execute(CREATE_JOBS)
        connection.commit()
        beginning = time.monotonic()
        for index, row in enumerate(traffic.rows):
            if speed is not None:
                pause(max(0.0, beginning + row.at / speed - time.monotonic()))
            outbox_id = _change_and_announce(connection, row)
            if row.rollback:
                connection.rollback()
                continue
            sent = time.time()
            connection.commit()
            commits.append(Commit(index, row.tenant_id, row.job_id, outbox_id, sent, time.time()))
            on_commit(commits[-1])
    return commits


def _change_and_announce(connection: psycopg.Connection, row: TrafficRow) -> int:
    values = {
        "tenant_id": row.tenant_id,
        "job_id": row.job_id,
        "event_type": row.event_type,
        "payload": Jsonb(row.payload),
        "cancelled": row.event_type == "job.cancelled",
    }
    connection.execute(CHANGE_JOB, values)
    inserted = connection.execute(ANNOUNCE_JOB, values).fetchone()
    if inserted is None:
        raise RuntimeError("the job that was just changed is not there")
    return int(inserted[0])


def _read_line(path: Path, number: int, line: str, adapter: TypeAdapter[Line]) -> Line:
    try:
        return adapter.validate_json(line)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        where = "".join(f"{part}: " for part in first["loc"])
        raise TrafficError(f"{path}: line {number}: {where}{first['msg']}") from None
