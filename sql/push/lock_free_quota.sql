-- Purpose: hold the row of the account that a push is to go through, made if there is none. No row: somebody else holds it, and is not waited for.
-- Index: quota_pkey.
WITH made AS (
    INSERT INTO calendar_sync.quota (scope) VALUES (%(scope)s)
    ON CONFLICT (scope) DO NOTHING
    RETURNING scope, charges, paced_until
), free AS MATERIALIZED (
    SELECT scope, charges, paced_until
    FROM calendar_sync.quota
    WHERE scope = %(scope)s
    FOR UPDATE SKIP LOCKED
)
SELECT scope, charges, paced_until, extract(epoch FROM calendar_sync.now())::float8 AS now
FROM (SELECT * FROM made UNION ALL SELECT * FROM free) AS held
