-- Purpose: make each job's newest row its state; an older row than the one applied changes nothing.
-- Index: job_pkey, outbox_pkey. In key order, so that two relays cannot wait for each other.
-- A cancelled job keeps the state that it had; what the cancelling row says is not needed and may be empty.
INSERT INTO calendar_sync.job AS job (tenant_id, job_id, version, cancelled, payload, ends_at, updated_at)
SELECT outbox.tenant_id, outbox.job_id, outbox.id, newest.cancelled,
       CASE WHEN newest.cancelled THEN '{}'::jsonb ELSE outbox.payload END, newest.ends_at, calendar_sync.now()
FROM unnest(%(ids)s::bigint[], %(cancelled)s::boolean[], %(ends_at)s::timestamptz[]) AS newest (id, cancelled, ends_at)
JOIN calendar_sync.outbox ON outbox.id = newest.id
ORDER BY outbox.tenant_id, outbox.job_id
ON CONFLICT (tenant_id, job_id) DO UPDATE
SET version = excluded.version,
    cancelled = excluded.cancelled,
    payload = CASE WHEN excluded.cancelled THEN job.payload ELSE excluded.payload END,
    ends_at = CASE WHEN excluded.cancelled THEN job.ends_at ELSE excluded.ends_at END,
    updated_at = excluded.updated_at
WHERE job.version < excluded.version
RETURNING job.tenant_id, job.job_id
