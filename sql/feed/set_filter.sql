-- Purpose: which jobs a user's feed shows from now on; no row: there is no feed.
-- Index: the unique key (tenant_id, user_id).
UPDATE calendar_sync.calendar_feed
SET job_filter = %(job_filter)s
WHERE tenant_id = %(tenant_id)s AND user_id = %(user_id)s
RETURNING feed_id
