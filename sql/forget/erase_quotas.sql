-- Purpose: what these Google accounts used of their quotas in the last minutes, where nobody is connected with them any more.
-- Index: quota_pkey, calendar_connection_account. In key order, so that two writers cannot wait for each other.
WITH unused AS (
    SELECT scope FROM calendar_sync.quota
    WHERE scope = ANY (%(scopes)s::text[]) AND NOT EXISTS (
        SELECT FROM calendar_sync.calendar_connection WHERE calendar_connection.account_id = substr(quota.scope, 9)
    )
    ORDER BY scope
    FOR UPDATE
)
DELETE FROM calendar_sync.quota USING unused WHERE quota.scope = unused.scope
