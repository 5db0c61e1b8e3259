-- Purpose: the next slice of a tenant's jobs, and which of them should be settled on a lane: upcoming, or with an event, and nothing
-- pending. What a calendar is filled with and what it may show: a job that is over and was taken from it is not put back.
-- Index: job_pkey, then the primary keys of pushed_event and pending_push. One snapshot: a job and its mark change together.
-- A slice is of jobs looked at, so that it costs the same where a million of them wait. LIMIT 1 and OFFSET 0 have what belongs to a job
-- looked up for the jobs of the slice alone.
SELECT job.job_id, job.cancelled, CASE WHEN this.settled THEN job.payload::text END AS payload,
       pushed.event_id, pushed.id_generation, pushed.in_doubt, pushed.etag, pushed.content_hash
FROM (
    SELECT tenant_id, job_id, cancelled, payload, ends_at
    FROM calendar_sync.job
    WHERE tenant_id = %(tenant_id)s AND job_id > %(after_job_id)s
    ORDER BY job_id
    LIMIT %(limit)s
) AS job
LEFT JOIN LATERAL (
    SELECT event_id, id_generation, in_doubt, etag, content_hash
    FROM calendar_sync.pushed_event AS event
    WHERE event.tenant_id = job.tenant_id AND event.calendar_id = %(calendar_id)s AND event.job_id = job.job_id
    LIMIT 1
) AS pushed ON true
CROSS JOIN LATERAL (
    SELECT (pushed.content_hash IS NOT NULL OR pushed.in_doubt OR (NOT job.cancelled AND job.ends_at > calendar_sync.now()))
        AND NOT EXISTS (
            SELECT FROM calendar_sync.pending_push AS pending
            WHERE pending.tenant_id = job.tenant_id
              AND pending.calendar_id = %(calendar_id)s
              AND pending.job_id = job.job_id
            OFFSET 0
        ) AS settled
) AS this
ORDER BY job.job_id
