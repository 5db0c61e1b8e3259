-- Purpose: make each job's newest row its state; an older row than the one applied changes nothing.
-- Index: job_pkey, outbox_pkey. In key order, so that two relays cannot wait for each other.
-- A cancelled job keeps the state that it had; what the cancelling row says is not needed and may be empty.
-- A new row's revision is the hours since 2020: more than that of a row of this job that was deleted long ago had become.
INSERT INTO calendar_sync.job AS job (tenant_id, job_id, version, revision, cancelled, payload, ends_at, updated_at)
SELECT outbox.tenant_id, outbox.job_id, outbox.id,
       greatest(floor(extract(epoch FROM calendar_sync.now() - timestamptz '2020-01-01 00:00:00+00') / 3600)::integer, 0),
       newest.cancelled,
       CASE WHEN newest.cancelled THEN '{}'::jsonb ELSE outbox.payload END, newest.ends_at, calendar_sync.now()
FROM unnest(%(ids)s::bigint[], %(cancelled)s::boolean[], %(ends_at)s::timestamptz[]) AS newest (id, cancelled, ends_at)
JOIN calendar_sync.outbox ON outbox.id = newest.id
ORDER BY outbox.tenant_id, outbox.job_id
ON CONFLICT (tenant_id, job_id) DO UPDATE
SET version = excluded.version,
    revision = job.revision + 1,
    cancelled = excluded.cancelled,
    payload = CASE WHEN excluded.cancelled THEN job.payload ELSE excluded.payload END,
    ends_at = CASE WHEN excluded.cancelled THEN job.ends_at ELSE excluded.ends_at END,
    updated_at = excluded.updated_at
WHERE job.version < excluded.version
RETURNING job.tenant_id, job.job_id
