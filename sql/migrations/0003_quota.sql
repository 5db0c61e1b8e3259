-- Quotas that all daemons share, and what goes first.

-- What each Google account, and the whole project, has used of its sliding minute or may still use of what it drew.
-- One narrow row a scope, rewritten for each push or second and never for each request. Lost in a crash of the server;
-- docs/quotas.md says why that is bearable.
CREATE UNLOGGED TABLE calendar_sync.quota (
    scope       text PRIMARY KEY,              -- "project", "account:...", "connection:..."
    charges     jsonb NOT NULL DEFAULT '{}',   -- units by the second (since 1970) from which on they no longer count
    paced_until double precision NOT NULL DEFAULT 0,
    idle_from   timestamptz NOT NULL DEFAULT calendar_sync.now() -- nothing in it counts any more from then on
) WITH (fillfactor = 50, autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 1000,
        autovacuum_vacuum_cost_delay = 0);

-- Requests of the project by the hour, for the threshold of 24 hours.
CREATE TABLE calendar_sync.request_hour (
    hour     timestamptz PRIMARY KEY,
    requests bigint NOT NULL,
    alarmed  boolean NOT NULL DEFAULT false    -- an operator was told in this hour
) WITH (fillfactor = 50);

-- 0 live, 1 backfill, 2 clean-up. A mark goes in this order, and only then by its due time.
ALTER TABLE calendar_sync.pending_push
    ADD COLUMN priority smallint NOT NULL DEFAULT 0 CHECK (priority BETWEEN 0 AND 2);
DROP INDEX calendar_sync.pending_push_due;
CREATE INDEX pending_push_due ON calendar_sync.pending_push (tenant_id, calendar_id, priority, due_at)
    WHERE due_at IS NOT NULL;

-- What is not live rests until then; a live edit need not wait for the quota of a backfill.
ALTER TABLE calendar_sync.lane
    ADD COLUMN backlog_not_before timestamptz,
    ADD COLUMN live_due_at        timestamptz;   -- as due_at, for live edits alone: lanes that have some go first
CREATE INDEX lane_free_live ON calendar_sync.lane (least(failures, 1), live_due_at)
    WHERE lease_token IS NULL AND live_due_at IS NOT NULL;

-- Each min() walks pending_push_due to the first entry of one priority, so the cost does not depend on how much waits.
CREATE OR REPLACE VIEW calendar_sync.lane_due AS
SELECT lane.tenant_id, lane.calendar_id,
       greatest(
           least(pending.live_from,
                 CASE WHEN pending.backlog_from IS NOT NULL
                      THEN greatest(pending.backlog_from, lane.backlog_not_before) END),
           lane.not_before
       ) AS due_at,
       CASE WHEN pending.live_from IS NOT NULL THEN greatest(pending.live_from, lane.not_before) END AS live_due_at,
       pending.live_from, pending.backlog_from       -- as marked, without the lane's rests
FROM calendar_sync.lane
CROSS JOIN LATERAL (
    SELECT (
        SELECT min(live.due_at)
        FROM calendar_sync.pending_push AS live
        WHERE live.tenant_id = lane.tenant_id AND live.calendar_id = lane.calendar_id
          AND live.priority = 0 AND live.due_at IS NOT NULL
    ) AS live_from, least((
        SELECT min(backfill.due_at)
        FROM calendar_sync.pending_push AS backfill
        WHERE backfill.tenant_id = lane.tenant_id AND backfill.calendar_id = lane.calendar_id
          AND backfill.priority = 1 AND backfill.due_at IS NOT NULL
    ), (
        SELECT min(clean_up.due_at)
        FROM calendar_sync.pending_push AS clean_up
        WHERE clean_up.tenant_id = lane.tenant_id AND clean_up.calendar_id = lane.calendar_id
          AND clean_up.priority = 2 AND clean_up.due_at IS NOT NULL
    )) AS backlog_from
) AS pending
WHERE (pending.live_from IS NOT NULL OR pending.backlog_from IS NOT NULL)
  AND EXISTS (
    SELECT FROM calendar_sync.calendar_writer
    WHERE calendar_writer.tenant_id = lane.tenant_id AND calendar_writer.calendar_id = lane.calendar_id
);

UPDATE calendar_sync.lane
SET live_due_at = lane_due.live_due_at
FROM calendar_sync.lane_due
WHERE lane_due.tenant_id = lane.tenant_id AND lane_due.calendar_id = lane.calendar_id;
