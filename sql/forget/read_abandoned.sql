-- Purpose: the grants that a tenant's users, or this one, gave up for another account and that are still to be revoked.
-- Index: abandoned_grant is small.
SELECT grant_id, tenant_id, user_id, account_id, refresh_token,
       extract(epoch FROM calendar_sync.now() - abandoned_at)::float8 AS age_seconds
FROM calendar_sync.abandoned_grant
WHERE tenant_id = %(tenant_id)s AND (%(user_id)s::text IS NULL OR user_id = %(user_id)s)
ORDER BY grant_id
