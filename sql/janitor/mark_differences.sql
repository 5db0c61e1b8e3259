-- Purpose: have these jobs looked at again on this lane, now, behind everything else (priority 2). Nothing, if the lane was erased since it was
-- read. Index: lane_pkey, pending_push_pkey. In key order, so that two writers cannot wait for each other.
INSERT INTO calendar_sync.pending_push AS pending (tenant_id, calendar_id, job_id, priority, first_marked_at, due_at)
SELECT lane.tenant_id, lane.calendar_id, different.job_id, 2, calendar_sync.now(), calendar_sync.now()
FROM calendar_sync.lane
CROSS JOIN unnest(%(job_ids)s::text[]) AS different (job_id)
WHERE lane.tenant_id = %(tenant_id)s AND lane.calendar_id = %(calendar_id)s
ORDER BY different.job_id
ON CONFLICT (tenant_id, calendar_id, job_id) DO NOTHING
