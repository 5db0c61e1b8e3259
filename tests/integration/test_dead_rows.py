"""A look for work does not walk over what is done with and cannot be cleaned up, because a transaction stays open."""

from datetime import UTC, datetime, timedelta

import psycopg
from psycopg import IsolationLevel

from outbox.database import connect
from tests.integration.test_plans import Session

WORK = """
INSERT INTO calendar_sync.outbox (tenant_id, job_id, event_type, payload)
SELECT 'tenant-0', 'job-' || number, 'job.updated', '{}' FROM generate_series(1, 100100) AS number;
INSERT INTO calendar_sync.lane (tenant_id, calendar_id, due_at, live_due_at)
SELECT 'tenant-0', 'calendar-' || number, now() - interval '1 hour', now() - interval '1 hour'
FROM generate_series(1, 100000) AS number;
"""
DONE = """
DELETE FROM calendar_sync.outbox WHERE id <= 100000;
UPDATE calendar_sync.lane SET due_at = NULL, live_due_at = NULL;
INSERT INTO calendar_sync.lane (tenant_id, calendar_id, due_at, live_due_at)
SELECT 'tenant-1', 'calendar-' || number, now() - interval '1 minute', now() - interval '1 minute'
FROM generate_series(1, 100) AS number;
"""
"""100,000 outbox rows and 100,000 due lanes done with, and 100 of each to do."""


def test_from_the_low_water_mark_on_a_look_does_not_walk_over_what_cannot_be_cleaned_up_yet(database_url: str) -> None:
    claim = {"limit": 10, "small_bytes": 1500, "passed_over": []}
    lease = {"limit": 16, "troubled_limit": 4, "lease_seconds": 60, "live_only": False}
    mark = datetime.now(UTC) - timedelta(minutes=10)
    with connect(database_url) as connection, psycopg.connect(database_url) as holder:
        session = Session(connection)
        connection.execute(WORK)
        holder.isolation_level = IsolationLevel.REPEATABLE_READ
        holder.execute("SELECT FROM calendar_sync.outbox LIMIT 1")
        connection.execute(DONE)
        at_everything = session.cost("relay/claim_outbox", {**claim, "lowest_id": 0})
        from_the_mark = session.cost("relay/claim_outbox", {**claim, "lowest_id": 100_001})
        assert at_everything.buffers > 200, from_the_mark
        assert from_the_mark.buffers < 50, from_the_mark
        at_everything = session.cost("push/lease_lanes", {**lease, "since": "-infinity"})
        from_the_mark = session.cost("push/lease_lanes", {**lease, "since": mark})
        assert at_everything.buffers > 400, from_the_mark
        assert from_the_mark.buffers < 250, at_everything
