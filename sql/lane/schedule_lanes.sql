-- Purpose: set when each lane of these tenants is due, now that they are held. Touches no row that is right already.
-- A lane that is due already, and for live edits too, stays so, and is not walked through: whoever pushes it works out what comes next when it
-- is done. Beside a transaction that stays open such a walk leads over every mark settled since, for each lane of each batch.
-- Index: lane_pkey, pending_push_due, those of calendar_writer. The limit has lane_due worked out for each of these lanes alone.
WITH wrong AS MATERIALIZED (
    SELECT held.tenant_id, held.calendar_id, due.due_at, due.live_due_at
    FROM calendar_sync.lane AS held
    CROSS JOIN LATERAL (
        SELECT lane_due.due_at, lane_due.live_due_at
        FROM calendar_sync.lane_due
        WHERE lane_due.tenant_id = held.tenant_id AND lane_due.calendar_id = held.calendar_id
        LIMIT 1
    ) AS due
    WHERE held.tenant_id = ANY (%(tenant_ids)s::text[])
      AND (held.due_at <= calendar_sync.now() AND held.live_due_at <= calendar_sync.now()) IS NOT TRUE
      AND (held.due_at, held.live_due_at) IS DISTINCT FROM (due.due_at, due.live_due_at)
)
UPDATE calendar_sync.lane
SET due_at = wrong.due_at, live_due_at = wrong.live_due_at
FROM wrong
WHERE lane.tenant_id = ANY (%(tenant_ids)s::text[])
  AND lane.tenant_id = wrong.tenant_id
  AND lane.calendar_id = wrong.calendar_id
