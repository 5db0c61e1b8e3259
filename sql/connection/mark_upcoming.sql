-- Purpose: fill a calendar: every job of the tenant whose event is not over yet becomes pending on it, at once.
-- Index: job_upcoming, pending_push_pkey. In key order, so that two writers cannot wait for each other.
INSERT INTO calendar_sync.pending_push AS pending (tenant_id, calendar_id, job_id, first_marked_at, due_at)
SELECT job.tenant_id, %(calendar_id)s, job.job_id, calendar_sync.now(), calendar_sync.now()
FROM calendar_sync.job
WHERE job.tenant_id = %(tenant_id)s AND NOT job.cancelled AND job.ends_at > calendar_sync.now()
ORDER BY job.job_id
ON CONFLICT (tenant_id, calendar_id, job_id) DO UPDATE
SET generation = excluded.generation, due_at = excluded.due_at, attempts = 0, problem = NULL
