-- Purpose: write down what counts for these scopes now; their rows are held.
-- Index: quota_pkey. The scopes are named as a list besides, so that each row is looked for once.
UPDATE calendar_sync.quota
SET charges = stored.charges::jsonb, paced_until = stored.paced_until, idle_from = to_timestamp(stored.idle_from)
FROM unnest(%(scopes)s::text[], %(charges)s::text[], %(paced_until)s::float8[], %(idle_from)s::float8[])
    AS stored (scope, charges, paced_until, idle_from)
WHERE quota.scope = ANY (%(scopes)s::text[]) AND quota.scope = stored.scope
