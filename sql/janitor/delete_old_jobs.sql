-- Purpose: forget jobs that ended, and were last changed, longer ago than the retention; what waits to be pushed keeps its job. Their events
-- stay in the calendars. Index: job_retention. In slices, in key order; a row that a relay holds is left for the next time.
WITH old AS (
    SELECT job.tenant_id, job.job_id
    FROM calendar_sync.job
    WHERE greatest(job.ends_at, job.updated_at) < calendar_sync.now() - make_interval(days => %(retention_days)s)
      AND NOT EXISTS (
          SELECT FROM calendar_sync.pending_push
          WHERE pending_push.tenant_id = job.tenant_id AND pending_push.job_id = job.job_id
      )
    ORDER BY greatest(job.ends_at, job.updated_at)
    LIMIT %(limit)s
    FOR UPDATE SKIP LOCKED
), forgotten_events AS (
    DELETE FROM calendar_sync.pushed_event USING old
    WHERE pushed_event.tenant_id = old.tenant_id AND pushed_event.job_id = old.job_id AND NOT pushed_event.in_doubt
      -- A later id is remembered for good: the first one would come back beside it.
      AND pushed_event.id_generation = 1
)
DELETE FROM calendar_sync.job USING old WHERE job.tenant_id = old.tenant_id AND job.job_id = old.job_id
