-- Purpose: as lock_lane, and then hold the row of the account that a push is to go through, made if there is none. No row: the lease was lost.
-- Index: lane_pkey, quota_pkey. The lane first, then the quota: the order for everybody who holds both.
WITH held AS MATERIALIZED (
    SELECT tenant_id
    FROM calendar_sync.lane
    WHERE tenant_id = %(tenant_id)s
      AND calendar_id = %(calendar_id)s
      AND lease_token = %(lease_token)s
      AND lease_expires_at > calendar_sync.now()
    FOR NO KEY UPDATE
)
INSERT INTO calendar_sync.quota AS quota (scope)
SELECT %(scope)s FROM held
ON CONFLICT (scope) DO UPDATE SET paced_until = quota.paced_until
RETURNING scope, charges, paced_until, extract(epoch FROM calendar_sync.now())::float8 AS now
