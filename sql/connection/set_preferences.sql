-- Purpose: what the user set of these two; NULL leaves one as it is. The user's feed, if there is one, follows the filter.
-- Index: the unique keys (tenant_id, user_id).
WITH feed AS (
    UPDATE calendar_sync.calendar_feed
    SET job_filter = %(job_filter)s::text
    WHERE tenant_id = %(tenant_id)s AND user_id = %(user_id)s AND %(job_filter)s::text IS NOT NULL
)
UPDATE calendar_sync.calendar_connection
SET job_filter = coalesce(%(job_filter)s, job_filter), paused = coalesce(%(paused)s, paused)
WHERE tenant_id = %(tenant_id)s AND user_id = %(user_id)s
