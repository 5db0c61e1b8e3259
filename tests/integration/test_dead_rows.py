"""A look for work does not walk over what is done with and cannot be cleaned up, because a transaction stays open."""

from datetime import UTC, datetime, timedelta

import psycopg
from psycopg import IsolationLevel

from outbox.database import connect
from outbox.statements import statement
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


MARKS = """
INSERT INTO calendar_sync.calendar_connection (tenant_id, user_id, state, account_id, calendar_id, refresh_token)
VALUES ('tenant-0', 'user-0', 'active', 'account:0', 'calendar-0', 'x');
INSERT INTO calendar_sync.lane (tenant_id, calendar_id) VALUES ('tenant-0', 'calendar-0');
INSERT INTO calendar_sync.pending_push
    (tenant_id, calendar_id, job_id, first_marked_at, due_at, priority, unanswered_since)
SELECT 'tenant-0', 'calendar-0', 'job-' || number, now(),
       now() + interval '1 hour' - make_interval(mins => number * 619 % 2011), 0, now()
FROM generate_series(1, 2010) AS number;
"""
SETTLED = "DELETE FROM calendar_sync.pending_push WHERE due_at < now() + interval '40 minutes'"
"""2,010 marks of a lane, dispersed over the table; the twenty that are due last stay."""


def test_when_a_lane_is_due_is_worked_out_in_one_walk_over_settled_marks_and_in_none_if_it_is_due_already(
    database_url: str,
) -> None:
    lane = {"tenant_id": "tenant-0", "calendar_id": "calendar-0"}
    rests = {"rest_seconds": None, "backlog_rest_seconds": 0, "troubled": False, "pushed": True}
    with connect(database_url) as connection, psycopg.connect(database_url) as holder:
        session = Session(connection)
        connection.execute(MARKS)
        holder.isolation_level = IsolationLevel.REPEATABLE_READ
        holder.execute("SELECT FROM calendar_sync.lane LIMIT 1")
        connection.execute(SETTLED)
        walk = session.cost("push/read_due_jobs", {**lane, "limit": 50, "without": []}).buffers
        released = session.cost("push/release_lane", {**lane, **rests}).buffers
        assert walk > 1000
        assert released < 1.2 * walk
        connection.execute("UPDATE calendar_sync.lane SET due_at = NULL, live_due_at = NULL")
        assert session.cost("lane/schedule_lanes", {"tenant_ids": ["tenant-0"]}).buffers < 1.2 * walk
        connection.execute("UPDATE calendar_sync.lane SET due_at = now(), live_due_at = now()")
        scheduled = session.cost("lane/schedule_lanes", {"tenant_ids": ["tenant-0"]}).buffers
        assert scheduled < 50


def test_a_lane_that_is_due_already_but_for_no_live_edit_is_due_for_one_when_there_is_one(database_url: str) -> None:
    with connect(database_url) as connection:
        connection.execute(MARKS)
        connection.execute("UPDATE calendar_sync.lane SET due_at = now() - interval '1 week'")
        connection.execute(statement("lane/schedule_lanes"), {"tenant_ids": ["tenant-0"]})
        first = "(SELECT min(due_at) FROM calendar_sync.pending_push)"
        due = connection.execute(f"SELECT due_at = {first}, live_due_at = {first} FROM calendar_sync.lane")
        assert due.fetchall() == [(True, True)]
