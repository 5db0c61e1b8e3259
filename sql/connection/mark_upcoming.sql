-- Purpose: fill a calendar: every job of the tenant whose event is not over yet becomes pending on it, at once; and so does
-- every job of which it may show an event from before, because changes made meanwhile left no mark there;
-- and those under way, whose push may have begun before.
-- Behind live edits (priority 1), but what is being waited for more urgently stays so.
-- Index: job_upcoming, pushed_event_pkey, pending_push_pkey. In key order, so that two writers cannot wait for each other.
INSERT INTO calendar_sync.pending_push AS pending (tenant_id, calendar_id, job_id, priority, first_marked_at, due_at)
SELECT %(tenant_id)s, %(calendar_id)s, job_id, 1, calendar_sync.now(), calendar_sync.now()
FROM (
    SELECT job_id
    FROM calendar_sync.job
    WHERE tenant_id = %(tenant_id)s AND NOT cancelled AND ends_at > calendar_sync.now()
    UNION
    SELECT job_id
    FROM calendar_sync.pushed_event
    WHERE tenant_id = %(tenant_id)s AND calendar_id = %(calendar_id)s AND (content_hash IS NOT NULL OR in_doubt)
    UNION
    SELECT job_id FROM calendar_sync.pending_push WHERE tenant_id = %(tenant_id)s AND calendar_id = %(calendar_id)s
) AS to_look_at
ORDER BY job_id
ON CONFLICT (tenant_id, calendar_id, job_id) DO UPDATE
SET generation = excluded.generation, priority = least(pending.priority, excluded.priority), due_at = excluded.due_at, attempts = 0, problem = NULL
