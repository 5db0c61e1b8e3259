-- Purpose: hold those rows of these scopes that nobody holds, and read them; who is held up by one must not hold up the others.
-- Index: quota_pkey. In key order, as lock_quotas.
SELECT scope, charges, paced_until, extract(epoch FROM calendar_sync.now())::float8 AS now
FROM calendar_sync.quota
WHERE scope = ANY (%(scopes)s::text[])
ORDER BY scope
FOR UPDATE SKIP LOCKED
