-- Purpose: hold a lane that is still leased under this token. No row: the lease was lost, and nothing may be written.
-- An expired lease counts as lost even if nobody has taken it yet. Index: lane_pkey.
-- In a statement of its own: what follows then reads with a snapshot that knows every mark written before.
SELECT FROM calendar_sync.lane
WHERE tenant_id = %(tenant_id)s
  AND calendar_id = %(calendar_id)s
  AND lease_token = %(lease_token)s
  AND lease_expires_at > calendar_sync.now()
FOR NO KEY UPDATE
