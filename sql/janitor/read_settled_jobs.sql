-- Purpose: the next slice of jobs that should be settled on a lane: upcoming, or with an event, and nothing pending. What a calendar
-- is filled with and what it may show: a job that is over and was taken from it is not put back.
-- Index: job_pkey, then the primary keys of pushed_event and pending_push. One snapshot: a job and its mark change together.
-- LIMIT 1 and OFFSET 0 have those looked up for the jobs of the slice alone.
SELECT job.job_id, job.cancelled, job.payload::text AS payload,
       pushed.event_id, pushed.id_generation, pushed.in_doubt, pushed.etag, pushed.content_hash
FROM calendar_sync.job
LEFT JOIN LATERAL (
    SELECT event_id, id_generation, in_doubt, etag, content_hash
    FROM calendar_sync.pushed_event AS event
    WHERE event.tenant_id = job.tenant_id AND event.calendar_id = %(calendar_id)s AND event.job_id = job.job_id
    LIMIT 1
) AS pushed ON true
WHERE job.tenant_id = %(tenant_id)s
  AND job.job_id > %(after_job_id)s
  AND (pushed.content_hash IS NOT NULL OR pushed.in_doubt OR (NOT job.cancelled AND job.ends_at > calendar_sync.now()))
  AND NOT EXISTS (
      SELECT FROM calendar_sync.pending_push AS pending
      WHERE pending.tenant_id = job.tenant_id
        AND pending.calendar_id = %(calendar_id)s
        AND pending.job_id = job.job_id
      OFFSET 0
  )
ORDER BY job.job_id
LIMIT %(limit)s
