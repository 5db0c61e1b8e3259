-- Purpose: the calendar feeds of a tenant's users, or of this one, are no more, and nobody reads anything at their addresses.
-- Index: the unique key (tenant_id, user_id).
DELETE FROM calendar_sync.calendar_feed
WHERE tenant_id = %(tenant_id)s AND (%(user_id)s::text IS NULL OR user_id = %(user_id)s)
