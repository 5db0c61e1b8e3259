-- Purpose: of the next slice of jobs after a key forget those that ended, and were last changed, longer ago than the retention; what waits
-- to be pushed keeps its job. Their events stay in the calendars. Answers how many were forgotten, and the last key looked at (NULL: the end).
-- Index: job_pkey; then lane_pkey and the primary keys of pending_push and pushed_event. A row that a relay holds is left for the next time.
-- LIMIT and OFFSET have each row looked up by its key.
WITH slice AS MATERIALIZED (
    SELECT tenant_id, job_id, greatest(ends_at, updated_at) < calendar_sync.now() - make_interval(days => %(retention_days)s) AS is_old
    FROM calendar_sync.job
    WHERE (tenant_id, job_id) > (%(after_tenant_id)s, %(after_job_id)s)
    ORDER BY tenant_id, job_id
    LIMIT %(limit)s
), old AS MATERIALIZED (
    SELECT slice.tenant_id, slice.job_id, held.place
    FROM slice
    CROSS JOIN LATERAL (
        SELECT job.ctid AS place
        FROM calendar_sync.job
        WHERE job.tenant_id = slice.tenant_id AND job.job_id = slice.job_id
          AND greatest(job.ends_at, job.updated_at) < calendar_sync.now() - make_interval(days => %(retention_days)s)
          AND NOT EXISTS (
              SELECT FROM calendar_sync.lane
              CROSS JOIN LATERAL (
                  SELECT FROM calendar_sync.pending_push AS pending
                  WHERE pending.tenant_id = lane.tenant_id AND pending.calendar_id = lane.calendar_id AND pending.job_id = slice.job_id
                  LIMIT 1
              ) AS waiting
              WHERE lane.tenant_id = slice.tenant_id
              OFFSET 0
          )
        LIMIT 1
        FOR UPDATE OF job SKIP LOCKED
    ) AS held
    WHERE slice.is_old
), forgotten_events AS (
    DELETE FROM calendar_sync.pushed_event AS pushed
    WHERE pushed.ctid = ANY (ARRAY(
          SELECT found.place
          FROM old
          CROSS JOIN LATERAL (SELECT calendar_id FROM calendar_sync.lane WHERE lane.tenant_id = old.tenant_id OFFSET 0) AS lane
          CROSS JOIN LATERAL (
              SELECT ctid AS place
              FROM calendar_sync.pushed_event AS event
              WHERE event.tenant_id = old.tenant_id AND event.calendar_id = lane.calendar_id AND event.job_id = old.job_id
              LIMIT 1
          ) AS found
      ))
      AND NOT pushed.in_doubt
      -- A later id is remembered for good: the first one would come back beside it.
      AND pushed.id_generation = 1
), forgotten AS (
    DELETE FROM calendar_sync.job WHERE ctid = ANY (ARRAY(SELECT place FROM old)) RETURNING job_id
)
SELECT (SELECT count(*) FROM forgotten) AS forgotten, last.tenant_id, last.job_id
FROM (SELECT count(*) = %(limit)s AS more FROM slice) AS counted
LEFT JOIN (SELECT tenant_id, job_id FROM slice ORDER BY tenant_id DESC, job_id DESC LIMIT 1) AS last ON counted.more
