-- Purpose: the next grants that were given up and are still to be revoked, in the order of their keys.
-- Index: abandoned_grant_pkey.
SELECT grant_id AS id, tenant_id, user_id, refresh_token, NULL::bytea AS access_token, 0::bigint AS grant_version, false AS given_up
FROM calendar_sync.abandoned_grant
WHERE grant_id > %(after)s
ORDER BY grant_id
LIMIT %(limit)s
