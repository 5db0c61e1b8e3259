-- Purpose: set when each lane of these tenants is due, now that they are held. Touches no row that is right already.
-- Index: lane_pkey, pending_push_due.
UPDATE calendar_sync.lane
SET due_at = lane_due.due_at, live_due_at = lane_due.live_due_at
FROM calendar_sync.lane_due
WHERE lane.tenant_id = ANY (%(tenant_ids)s::text[])
  AND lane_due.tenant_id = lane.tenant_id
  AND lane_due.calendar_id = lane.calendar_id
  AND (lane.due_at, lane.live_due_at) IS DISTINCT FROM (lane_due.due_at, lane_due.live_due_at)
