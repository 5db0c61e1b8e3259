-- Purpose: have every job looked at again of which this calendar may show an event, now or in a moment: those under way too, whose
-- push may have begun before what is marked here for.
-- Behind everything else (priority 2), but what is being waited for more urgently stays so.
-- Index: pushed_event_pkey, pending_push_pkey. In key order, so that two writers cannot wait for each other.
INSERT INTO calendar_sync.pending_push AS pending (tenant_id, calendar_id, job_id, priority, first_marked_at, due_at)
SELECT %(tenant_id)s, %(calendar_id)s, job_id, 2, calendar_sync.now(), calendar_sync.now()
FROM (
    SELECT job_id
    FROM calendar_sync.pushed_event
    WHERE tenant_id = %(tenant_id)s AND calendar_id = %(calendar_id)s AND (content_hash IS NOT NULL OR in_doubt)
    UNION
    SELECT job_id FROM calendar_sync.pending_push WHERE tenant_id = %(tenant_id)s AND calendar_id = %(calendar_id)s
) AS to_look_at
ORDER BY job_id
ON CONFLICT (tenant_id, calendar_id, job_id) DO UPDATE
SET generation = excluded.generation, priority = least(pending.priority, excluded.priority), due_at = excluded.due_at, attempts = 0, problem = NULL
