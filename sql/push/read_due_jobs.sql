-- Purpose: what is due on one lane, the most urgent first and then the oldest, with all that the decision needs: the job as it is now and what we last put there.
-- Index: pending_push_due, from the first entry of each priority on, so that what waits behind costs nothing; then the primary keys of job,
-- pushed_event and retired_event.
SELECT pending.job_id, pending.generation, pending.attempts, pending.priority,
       extract(epoch FROM calendar_sync.now() - pending.first_marked_at)::float8 AS seconds_since_marked,
       job.version, job.cancelled, CASE WHEN job.version <> ALL (%(without)s::bigint[]) THEN job.payload::text END AS payload,
       pushed.event_id, pushed.id_generation, pushed.in_doubt, pushed.etag, pushed.content_hash,
       pushed.users_fields, pushed.seen_by, pushed.pushed_at IS NOT NULL AS ever_confirmed,
       extract(epoch FROM calendar_sync.now() - pushed.write_sent_by)::float8 AS seconds_since_write,
       coalesce(pushed.unsettled_starts, 0) AS unsettled_starts,
       ARRAY(
           SELECT retired.event_id
           FROM calendar_sync.retired_event AS retired
           WHERE retired.tenant_id = pending.tenant_id
             AND retired.calendar_id = pending.calendar_id
             AND retired.job_id = pending.job_id
           ORDER BY retired.event_id
       ) AS retired_event_ids
FROM (
    SELECT due.*
    FROM (VALUES (0::smallint), (1), (2)) AS urgency (priority)
    CROSS JOIN LATERAL (
        SELECT first.tenant_id, first.calendar_id, first.job_id, first.generation, first.attempts, first.priority, first.due_at, first.first_marked_at
        FROM calendar_sync.pending_push AS first
        WHERE first.tenant_id = %(tenant_id)s
          AND first.calendar_id = %(calendar_id)s
          AND first.priority = urgency.priority
          AND first.due_at <= calendar_sync.now()
        ORDER BY first.due_at
        LIMIT %(limit)s
    ) AS due
    ORDER BY due.priority, due.due_at
    LIMIT %(limit)s
) AS pending
-- The limits have each looked up by its key, whatever the planner thinks of how many there are.
LEFT JOIN LATERAL (
    SELECT version, cancelled, payload
    FROM calendar_sync.job
    WHERE job.tenant_id = pending.tenant_id AND job.job_id = pending.job_id
    LIMIT 1
) AS job ON true
LEFT JOIN LATERAL (
    SELECT event_id, id_generation, in_doubt, etag, content_hash, users_fields, seen_by, pushed_at, write_sent_by, unsettled_starts
    FROM calendar_sync.pushed_event AS pushed
    WHERE pushed.tenant_id = pending.tenant_id
      AND pushed.calendar_id = pending.calendar_id
      AND pushed.job_id = pending.job_id
    LIMIT 1
) AS pushed ON true
ORDER BY pending.priority, pending.due_at
