-- Purpose: a new grant does not inherit the rest that an older one, or somebody else's, was asked to take.
-- Index: lane_pkey.
UPDATE calendar_sync.lane SET not_before = NULL, backlog_not_before = NULL, failures = 0
WHERE tenant_id = %(tenant_id)s AND calendar_id = %(calendar_id)s
