"""What each hot statement touches, planned once a session: by what it handles, and not by what else there is."""

import os
import re
from collections import defaultdict
from collections.abc import Iterator, Mapping
from typing import Any, LiteralString, NamedTuple
from uuid import UUID

import pytest
from psycopg import sql

from outbox.database import Connection, connect
from outbox.relay import BATCH_ROWS
from outbox.statements import statement

LANE = {"tenant_id": "tenant-0", "calendar_id": "calendar-0"}
"""Leased under TOKEN; 10,000 marks or more wait on it, and 12,000 events stand in it."""

TOKEN = UUID(int=1)
JOBS = [f"job-{number:06}" for number in range(50)]
"""Their marks on LANE are the generations 1 to 50."""

TENANTS = [f"tenant-{number}" for number in range(20)]
"""Of 10 lanes each."""

SCOPES = [f"account:{number}" for number in range(20)]
FEED = {"token_hash": b"f" * 32}
USER = {"tenant_id": "tenant-1", "user_id": "user-0"}
EVER = "-infinity"
LEASE = {"troubled_limit": 4, "lease_seconds": 60, "since": EVER}
RELEASE = {**LANE, "rest_seconds": None, "troubled": False, "pushed": True}


def filling(times: int) -> str:
    """50,000 jobs, outbox rows, marks and events, or so many times as much; 10,000 connections and lanes with no work.

    What a statement handles is the same: more waits on LANE, and for more tenants. 50,000 take a second or two.
    """
    working = 20 * times
    return f"""
SET session_replication_role = replica; -- no triggers: what they would write is written here
SET statement_timeout = 0;
INSERT INTO calendar_sync.job (tenant_id, job_id, version, cancelled, payload, ends_at, updated_at)
SELECT 'tenant-' || tenant, 'job-' || lpad(number::text, 6, '0'), 0, number % 50 = 49,
       jsonb_build_object('schema_version', 1, 'job_number', number, 'legs', '[]'::jsonb),
       now() + interval '1 hour' * (1000 - number), now() - interval '1 hour' * number
FROM generate_series(0, {working - 1}) AS tenant,
     generate_series(0, CASE tenant WHEN 0 THEN {12000 * times - 1} ELSE 1999 END) AS number;

-- The tenants that work and 1,000 that do not, of 10 users and calendars each.
INSERT INTO calendar_sync.calendar_connection (tenant_id, user_id, state, account_id, calendar_id, refresh_token)
SELECT 'tenant-' || tenant, 'user-' || number, 'active', 'account:' || tenant * 10 + number, 'calendar-' || number, 'x'
FROM generate_series(0, {working + 999}) AS tenant, generate_series(0, 9) AS number;
INSERT INTO calendar_sync.departure (tenant_id, calendar_id, connection_id)
SELECT tenant_id, 'calendar-left', connection_id
FROM calendar_sync.calendar_connection
WHERE user_id = 'user-0'
LIMIT 20;
INSERT INTO calendar_sync.token_refresh (connection_id, due_at, touch_at)
SELECT connection_id, now() + interval '1 minute' * (connection_id - 100), now() + interval '1 day'
FROM calendar_sync.calendar_connection;
INSERT INTO calendar_sync.quota (scope) SELECT account_id FROM calendar_sync.calendar_connection;
INSERT INTO calendar_sync.calendar_feed (tenant_id, user_id, token_hash, job_filter)
SELECT tenant_id, user_id, sha256(connection_id::text::bytea), 'all'
FROM calendar_sync.calendar_connection
WHERE (tenant_id, user_id) <> ('tenant-0', 'user-0') AND (tenant_id, user_id) <> ('tenant-1', 'user-0');
INSERT INTO calendar_sync.calendar_feed (tenant_id, user_id, token_hash, job_filter)
VALUES ('tenant-0', 'user-0', repeat('f', 32)::bytea, 'all'), ('tenant-1', 'user-0', repeat('g', 32)::bytea, 'all');

INSERT INTO calendar_sync.lane (tenant_id, calendar_id, due_at, live_due_at, failures, lease_token, lease_expires_at)
SELECT 'tenant-' || tenant, 'calendar-' || number,
       CASE WHEN tenant < {working} THEN now() - interval '1 minute' END,
       CASE WHEN tenant < {working} AND number % 2 = 0 THEN now() - interval '1 minute' END,
       CASE WHEN number = 9 THEN 3 ELSE 0 END,
       CASE WHEN tenant = 0 AND number = 0 THEN '{TOKEN}'::uuid END,
       CASE WHEN tenant = 0 AND number = 0 THEN now() + interval '1 hour' END
FROM generate_series(0, {working + 999}) AS tenant, generate_series(0, 9) AS number;
INSERT INTO calendar_sync.pending_push
    (tenant_id, calendar_id, job_id, generation, first_marked_at, due_at, priority, unanswered_since)
SELECT 'tenant-' || tenant, 'calendar-' || number, 'job-' || lpad(job::text, 6, '0'), job + 1,
       now() - interval '1 hour', now() - interval '1 hour' + job * interval '1 millisecond', job % 3,
       now() - interval '1 hour'
FROM generate_series(0, {working - 1}) AS tenant, generate_series(0, 9) AS number,
     generate_series(0, CASE WHEN tenant = 0 AND number = 0 THEN {10000 * times - 1} ELSE 200 END) AS job;
INSERT INTO calendar_sync.pushed_event (tenant_id, calendar_id, job_id, event_id, id_generation, in_doubt, content_hash)
SELECT 'tenant-' || tenant, 'calendar-' || number, 'job-' || lpad(job::text, 6, '0'), 'event-' || job, 1, false, 'x'
FROM generate_series(0, {working - 1}) AS tenant, generate_series(0, 9) AS number,
     generate_series(0, CASE WHEN tenant = 0 AND number = 0 THEN {12000 * times - 1} ELSE 200 END) AS job;
INSERT INTO calendar_sync.outbox (tenant_id, job_id, event_type, payload)
SELECT 'tenant-' || number % 20 + number / 50000 * 20, 'job-' || lpad((number / 20 % 2000)::text, 6, '0'),
       'job.updated', '{{"version": 1}}'
FROM generate_series(0, {50000 * times - 1}) AS number;
RESET statement_timeout;
RESET session_replication_role;
"""


FILL = filling(1)

TIMES = int(os.environ.get("CALENDAR_SYNC_PLANS_TIMES", "1"))
"""`make plans` has these tests run beside 1,000,000 waiting rows, with the same bounds."""


class Hot(NamedTuple):
    """A statement that runs for every change, push or look; and how many rows it has to handle."""

    name: str
    rows: int
    parameters: Mapping[str, Any]


def marks(**columns: Any) -> dict[str, Any]:
    """Parameters about the fifty jobs of LANE."""
    return {**LANE, "job_ids": JOBS, "generations": list(range(1, 51)), **columns}


IDS = list(range(1, 501))
HOT = [
    Hot(
        "relay/claim_outbox",
        BATCH_ROWS,
        {"limit": BATCH_ROWS, "lowest_id": 1, "small_bytes": 1500, "passed_over": ["tenant-3"]},
    ),
    Hot("relay/share_tenants", 20, {"tenant_ids": TENANTS}),
    Hot("relay/read_payloads", 500, {"ids": IDS, "max_payload_bytes": 262144}),
    Hot(
        "relay/apply_rows",
        500 + 5000,
        {"ids": IDS, "cancelled": [False] * 500, "ends_at": [None] * 500, "tenant_ids": TENANTS, "quiet_seconds": 2}
        | {"max_wait_seconds": 10},
    ),
    Hot("relay/reject_rows", 50, {"ids": IDS[:50], "reasons": ["unreadable"] * 50}),
    Hot("relay/delete_outbox", 500, {"ids": IDS}),
    Hot("lane/lock_lanes", 200, {"tenant_ids": TENANTS}),
    Hot("lane/schedule_lanes", 200 * 3, {"tenant_ids": TENANTS}),
    Hot("push/lease_lanes", 12, {**LEASE, "limit": 8, "live_only": False}),
    Hot("push/lease_lanes", 12, {**LEASE, "limit": 8, "live_only": True}),
    Hot("push/seconds_until_due", 2, {"live_only": False, "troubled": True, "since": EVER}),
    Hot("push/seconds_until_due", 2, {"live_only": True, "troubled": True, "since": EVER}),
    Hot("push/read_due_jobs", 50, {**LANE, "limit": 50, "without": [1, 2, 3]}),
    Hot("push/read_connections", 1, LANE),
    Hot("push/lock_lane", 1, {**LANE, "lease_token": TOKEN}),
    Hot("push/lock_lane_and_quota", 2, {**LANE, "lease_token": TOKEN, "scope": "account:0"}),
    Hot(
        "push/store_intents",
        50,
        {**LANE, "job_ids": JOBS, "event_ids": JOBS, "id_generations": [1] * 50, "present": [True] * 50}
        | {"calls_end_in_seconds": 30},
    ),
    Hot(
        "push/settle_events",
        50,
        {**LANE, "job_ids": JOBS, "etags": JOBS, "content_hashes": [b"hash"] * 50, "users_fields": [None] * 50}
        | {"seen_by": [1] * 50, "seers": [1]},
    ),
    Hot("push/settle_done", 50, marks()),
    Hot("push/settle_undone", 50, marks(wait_seconds=[9.5] * 50, problems=[None] * 50, charged=[True] * 50)),
    Hot("push/clear_doubt", 50, {**LANE, "job_ids": JOBS}),
    Hot("push/date_doubt", 50, {**LANE, "job_ids": JOBS}),
    Hot(
        "push/retire_event",
        1,
        {**LANE, "job_id": JOBS[0], "retired_event_id": "event-0", "seen_cancelled": False, "event_id": "new"}
        | {"id_generation": 2, "calls_end_in_seconds": 30},
    ),
    Hot("push/delete_gone_retired", 50, {**LANE, "event_ids": JOBS}),
    Hot("push/release_lane", 1, {**RELEASE, "backlog_rest_seconds": 0}),
    Hot("push/release_lane", 1, {**RELEASE, "backlog_rest_seconds": 30}),
    Hot("budget/lock_quotas", 20, {"scopes": SCOPES}),
    Hot("budget/lock_free_quotas", 20, {"scopes": SCOPES}),
    Hot(
        "budget/store_quotas",
        20,
        {"scopes": SCOPES, "charges": ["{}"] * 20, "paced_until": [0.5] * 20, "idle_from": [0.5] * 20},
    ),
    Hot("budget/count_requests", 1, {"requests": 7}),
    Hot("refresh/claim", 1, {"in_use_seconds": 3600, "claim_seconds": 60}),
    Hot("refresh/seconds_until_due", 1, {}),
    Hot(
        "janitor/delete_old_jobs",
        500 * 10,
        {"retention_days": 30, "after_tenant_id": "tenant-0", "after_job_id": "job-011000", "limit": 500},
    ),
    # At worst all the lanes there are, sorted: nothing but a setting keeps the planner from it.
    Hot("janitor/lock_lane_slice", 10_200, {"after_tenant_id": "tenant-0", "after_calendar_id": "", "limit": 500}),
    Hot(
        "janitor/mend_due",
        200 * 3,
        {"tenant_ids": [tenant for tenant in TENANTS for _ in range(10)]}
        | {"calendar_ids": [f"calendar-{number}" for _ in TENANTS for number in range(10)]},
    ),
    Hot("janitor/expire_leases", 1, {"limit": 500}),
    Hot("janitor/next_lane", 1, {"after_tenant_id": "tenant-500", "after_calendar_id": "calendar-3"}),
    Hot("janitor/read_audited_jobs", 200, {**LANE, "after_job_id": "", "limit": 200}),
    Hot("janitor/mark_differences", 50, {**LANE, "job_ids": JOBS}),
    Hot("connection/read_view", 201, USER),
    Hot("feed/visit", 2000, FEED),
    Hot("feed/note_fetch", 1, FEED),
    Hot("feed/read", 1, USER),
    Hot("feed/read_jobs", 2000, {**FEED, "moment": "now"}),
    Hot("feed/renew", 1, {**USER, "token_hash": b"n" * 32, "job_filter": None, "instead_of": None}),
    Hot("feed/set_filter", 1, {**USER, "job_filter": "all"}),
    Hot("feed/revoke", 1, USER),
]


class Cost(NamedTuple):
    """What one execution touched."""

    buffers: int
    visits: int
    """Rows that came out of the tables, and those that were thrown away there."""
    whole_tables: list[str]


class Session:
    """A session as ours, which plans each statement when it first uses it, and never again."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._names: dict[str, tuple[str, list[str]]] = {}

    def cost(self, name: str, parameters: Mapping[str, Any]) -> Cost:
        """Execute a statement without effect."""
        with self._connection.transaction(force_rollback=True):
            return cost_of(self._explain("ANALYZE, BUFFERS, TIMING OFF", name, parameters))

    def indexes(self, name: str) -> set[str]:
        """Those that a statement goes by, whatever its parameters are."""
        plan = self._explain("COSTS OFF", name, defaultdict(lambda: None))
        return {node["Index Name"] for node in nodes(plan) if "Index Name" in node}

    def _explain(self, options: LiteralString, name: str, parameters: Mapping[str, Any]) -> dict[str, Any]:
        if name not in self._names:
            self._names[name] = self._prepare(name)
        prepared, order = self._names[name]
        arguments = sql.SQL(", ").join(sql.Literal(parameters[key]) for key in order)
        execute = sql.SQL("EXECUTE {} ({})" if order else "EXECUTE {}").format(sql.Identifier(prepared), arguments)
        row = self._connection.execute(sql.SQL(f"EXPLAIN ({options}, FORMAT JSON) ") + execute).fetchone()
        assert row is not None
        plan: dict[str, Any] = row[0][0]["Plan"]
        return plan

    def _prepare(self, name: str) -> tuple[str, list[str]]:
        text = statement(name).as_string()
        order = list(dict.fromkeys(re.findall(r"%\((\w+)\)s", text)))
        for position, parameter in enumerate(order, 1):
            text = text.replace(f"%({parameter})s", f"${position}")
        prepared = f"hot {len(self._names)}"
        body = sql.SQL(text.replace("%%", "%"))
        self._connection.execute(sql.SQL("PREPARE {} AS ").format(sql.Identifier(prepared)) + body)
        return prepared, order


def nodes(plan: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    """All nodes of a plan."""
    yield plan
    for part in plan.get("Plans", []):
        yield from nodes(part)


def cost_of(plan: Mapping[str, Any]) -> Cost:
    """What the execution of a plan touched."""
    scans = [node for node in nodes(plan) if "Relation Name" in node and node["Node Type"] != "ModifyTable"]
    visits = sum(
        (node["Actual Rows"] + node.get("Rows Removed by Filter", 0) + node.get("Rows Removed by Index Recheck", 0))
        * node["Actual Loops"]
        for node in scans
    )
    whole = [node["Relation Name"] for node in scans if node["Node Type"] == "Seq Scan"]
    return Cost(plan["Shared Hit Blocks"] + plan["Shared Read Blocks"], round(visits), whole)


def dear(session: Session, planned: str) -> list[str]:
    """The statements that touch more than what they handle accounts for: a few descents of a B-tree for each row."""
    found = []
    for hot in HOT:
        cost = session.cost(hot.name, hot.parameters)
        if cost.buffers > 20 * hot.rows + 100 or cost.visits > 5 * hot.rows + 50 or cost.whole_tables:
            found.append(f"{hot.name}, {planned}: {cost} for {hot.rows} rows")
    return found


@pytest.mark.parametrize("known", ["nothing", "that the tables are empty"])
def test_what_a_statement_touches_is_for_what_it_handles_whatever_was_known_when_it_was_planned(
    database_url: str, known: str
) -> None:
    with connect(database_url) as early, connect(database_url) as late:
        if known != "nothing":
            late.execute("VACUUM ANALYZE")
        session = Session(early)
        for hot in HOT:
            session.cost(hot.name, hot.parameters)
        late.execute(filling(TIMES))
        found = dear(session, f"planned when {known} was known")
        late.execute("ANALYZE")
        found += dear(Session(late), "planned when everything was known")
    assert not found, "\n".join(found)
