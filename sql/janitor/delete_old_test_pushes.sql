-- Purpose: forget test pushes of last week, and with them the record of their events, once those are known to be gone.
-- Index: test_push_age, pushed_event_pkey.
WITH old AS (
    SELECT tenant_id, calendar_id, job_id
    FROM calendar_sync.test_push
    WHERE requested_at < calendar_sync.now() - interval '7 days'
      AND NOT EXISTS (
          SELECT FROM calendar_sync.pending_push AS pending
          WHERE pending.tenant_id = test_push.tenant_id AND pending.calendar_id = test_push.calendar_id
            AND pending.job_id = test_push.job_id
      )
    ORDER BY requested_at
    LIMIT %(limit)s
), forgotten_events AS (
    DELETE FROM calendar_sync.pushed_event AS pushed USING old
    WHERE pushed.tenant_id = old.tenant_id AND pushed.calendar_id = old.calendar_id AND pushed.job_id = old.job_id
      AND NOT pushed.in_doubt AND pushed.content_hash IS NULL
)
DELETE FROM calendar_sync.test_push AS test USING old WHERE test.tenant_id = old.tenant_id AND test.job_id = old.job_id
