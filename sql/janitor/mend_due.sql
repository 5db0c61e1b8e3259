-- Purpose: derive the due times of these held lanes again and mend those that would be served too late or never; should mend none.
-- Index: lane_pkey, pending_push_due, those of calendar_writer. The limits have each of these lanes looked up by its key.
WITH late AS MATERIALIZED (
    SELECT held.tenant_id, held.calendar_id, due.due_at, due.live_due_at
    FROM unnest(%(tenant_ids)s::text[], %(calendar_ids)s::text[]) AS held (tenant_id, calendar_id)
    CROSS JOIN LATERAL (
        SELECT lane.due_at, lane.live_due_at
        FROM calendar_sync.lane
        WHERE lane.tenant_id = held.tenant_id AND lane.calendar_id = held.calendar_id
        LIMIT 1
    ) AS stored
    CROSS JOIN LATERAL (
        SELECT lane_due.due_at, lane_due.live_due_at
        FROM calendar_sync.lane_due
        WHERE lane_due.tenant_id = held.tenant_id AND lane_due.calendar_id = held.calendar_id
        LIMIT 1
    ) AS due
    WHERE stored.due_at IS NULL OR stored.due_at > due.due_at
       OR (due.live_due_at IS NOT NULL AND (stored.live_due_at IS NULL OR stored.live_due_at > due.live_due_at))
)
UPDATE calendar_sync.lane
SET due_at = late.due_at, live_due_at = late.live_due_at
FROM late
WHERE lane.tenant_id = ANY (%(tenant_ids)s::text[])
  AND lane.tenant_id = late.tenant_id
  AND lane.calendar_id = late.calendar_id
