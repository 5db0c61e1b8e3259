-- Purpose: hold the lanes of these tenants, after their marks were written and before their due times are worked out.
-- In a statement of its own: the next one then reads with a snapshot that knows what a push settled meanwhile.
-- Index: lane_pkey. In key order, so that two relays cannot wait for each other.
SELECT FROM calendar_sync.lane
WHERE tenant_id = ANY (%(tenant_ids)s::text[])
ORDER BY tenant_id, calendar_id
FOR NO KEY UPDATE
