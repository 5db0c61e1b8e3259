-- Purpose: hold the next slice of lanes after a key, to check their due times against a snapshot taken afterwards.
-- Index: lane_pkey. Lanes in use are left to their users, who set the due time themselves.
SELECT tenant_id, calendar_id
FROM calendar_sync.lane
WHERE (tenant_id, calendar_id) > (%(after_tenant_id)s, %(after_calendar_id)s) AND lease_token IS NULL
ORDER BY tenant_id, calendar_id
LIMIT %(limit)s
FOR NO KEY UPDATE SKIP LOCKED
