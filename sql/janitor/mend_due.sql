-- Purpose: derive the due times of these held lanes again and mend those that would be served too late or never; should mend none.
-- Index: lane_pkey, pending_push_due.
UPDATE calendar_sync.lane
SET due_at = lane_due.due_at, live_due_at = lane_due.live_due_at
FROM unnest(%(tenant_ids)s::text[], %(calendar_ids)s::text[]) AS held (tenant_id, calendar_id)
JOIN calendar_sync.lane_due ON lane_due.tenant_id = held.tenant_id AND lane_due.calendar_id = held.calendar_id
WHERE lane.tenant_id = held.tenant_id
  AND lane.calendar_id = held.calendar_id
  AND (lane.due_at IS NULL OR lane.due_at > lane_due.due_at
       OR (lane_due.live_due_at IS NOT NULL AND (lane.live_due_at IS NULL OR lane.live_due_at > lane_due.live_due_at)))
