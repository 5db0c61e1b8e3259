-- Purpose: have these jobs looked at again on this lane, now, behind everything else (priority 2).
-- Index: pending_push_pkey. In key order, so that two writers cannot wait for each other.
INSERT INTO calendar_sync.pending_push AS pending (tenant_id, calendar_id, job_id, priority, first_marked_at, due_at)
SELECT %(tenant_id)s, %(calendar_id)s, different.job_id, 2, calendar_sync.now(), calendar_sync.now()
FROM unnest(%(job_ids)s::text[]) AS different (job_id)
ORDER BY different.job_id
ON CONFLICT (tenant_id, calendar_id, job_id) DO NOTHING
