-- Purpose: what the user set of these two; NULL leaves one as it is.
-- Index: the unique key (tenant_id, user_id).
UPDATE calendar_sync.calendar_connection
SET job_filter = coalesce(%(job_filter)s, job_filter), paused = coalesce(%(paused)s, paused)
WHERE tenant_id = %(tenant_id)s AND user_id = %(user_id)s
