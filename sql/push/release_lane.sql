-- Purpose: end the lease and set when the lane is due next, from a snapshot taken after the lane was held.
-- Index: lane_pkey, pending_push_due. Nothing due, or nobody who could push it: due_at becomes NULL.
-- Whatever still waits, the lane goes behind those that have been due until now: a long backlog takes turns.
UPDATE calendar_sync.lane
SET lease_token = NULL,
    lease_expires_at = NULL,
    failures = CASE WHEN %(rest_seconds)s::float8 > 0 THEN lane.failures + 1 ELSE 0 END,
    not_before = calendar_sync.now() + make_interval(secs => %(rest_seconds)s::float8),
    due_at = (
        SELECT greatest(lane_due.due_at, calendar_sync.now() + make_interval(secs => %(rest_seconds)s::float8))
        FROM calendar_sync.lane_due
        WHERE lane_due.tenant_id = lane.tenant_id AND lane_due.calendar_id = lane.calendar_id
    ),
    last_pushed_at = CASE WHEN %(pushed)s THEN calendar_sync.now() ELSE lane.last_pushed_at END
WHERE tenant_id = %(tenant_id)s AND calendar_id = %(calendar_id)s
