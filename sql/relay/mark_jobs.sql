-- Purpose: mark changed jobs as pending on every calendar that somebody of their tenant has chosen, or is leaving for one that is not filled yet; a mark already there
-- gets a new generation, so that a push under way cannot take it for answered. One that waits to be retried starts afresh.
-- Index: calendar_connection_calendar, departure_pkey, pending_push_pkey. In key order, so that two relays cannot wait for each other.
-- A live edit goes first (priority 0), also if the job has been waiting as part of a backfill.
-- Every calendar, whatever its filter: whether the job was wanted there before is the pusher's to know.
INSERT INTO calendar_sync.pending_push AS pending (tenant_id, calendar_id, job_id, priority, first_marked_at, due_at)
SELECT chosen.tenant_id, chosen.calendar_id, changed.job_id, 0, calendar_sync.now(),
       calendar_sync.now() + make_interval(secs => %(quiet_seconds)s)
FROM unnest(%(tenant_ids)s::text[], %(job_ids)s::text[]) AS changed (tenant_id, job_id)
JOIN (
    SELECT tenant_id, calendar_id
    FROM calendar_sync.calendar_connection
    WHERE tenant_id = ANY (%(tenant_ids)s::text[])
      AND calendar_id IS NOT NULL
      AND state NOT IN ('not_connected', 'disconnecting')
    UNION
    SELECT tenant_id, calendar_id
    FROM calendar_sync.departure
    WHERE tenant_id = ANY (%(tenant_ids)s::text[]) AND emptying_since IS NULL
) AS chosen ON chosen.tenant_id = changed.tenant_id
ORDER BY chosen.tenant_id, chosen.calendar_id, changed.job_id
ON CONFLICT (tenant_id, calendar_id, job_id) DO UPDATE
SET generation = excluded.generation,
    priority = excluded.priority,
    first_marked_at = CASE WHEN pending.attempts > 0 THEN excluded.first_marked_at ELSE pending.first_marked_at END,
    due_at = least(
        excluded.due_at,
        CASE WHEN pending.attempts > 0 THEN excluded.first_marked_at ELSE pending.first_marked_at END
            + make_interval(secs => %(max_wait_seconds)s)
    ),
    attempts = 0,
    problem = NULL
