-- Purpose: a user's feed, as the user sees it. `address_id` tells one of its addresses from the others, and nothing of it.
-- Index: the unique key (tenant_id, user_id).
SELECT job_filter, created_at, last_fetched_at, extract(epoch FROM created_at)::text AS address_id
FROM calendar_sync.calendar_feed
WHERE tenant_id = %(tenant_id)s AND user_id = %(user_id)s
