-- Purpose: hold the rows of these scopes, made where there are none, and read them as they are once they are held.
-- Index: quota_pkey. In key order, so that two daemons cannot wait for each other; whoever holds a lane too has locked it before.
INSERT INTO calendar_sync.quota AS quota (scope)
SELECT scope FROM unnest(%(scopes)s::text[]) AS asked (scope) ORDER BY scope
ON CONFLICT (scope) DO UPDATE SET paced_until = quota.paced_until
RETURNING scope, charges, paced_until, extract(epoch FROM calendar_sync.now())::float8 AS now
