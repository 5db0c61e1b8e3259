-- Purpose: grants that were given up; any order will do.
-- Index: abandoned_grant is small.
SELECT grant_id, tenant_id, user_id, account_id, refresh_token,
       extract(epoch FROM calendar_sync.now() - abandoned_at)::float8 AS age_seconds
FROM calendar_sync.abandoned_grant
LIMIT 100
