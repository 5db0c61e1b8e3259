-- Purpose: a grant that was given up is revoked, or need not be.
-- Index: abandoned_grant_pkey.
DELETE FROM calendar_sync.abandoned_grant WHERE grant_id = %(grant_id)s
