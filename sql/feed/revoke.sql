-- Purpose: a user's feed is no more, and nobody reads anything at its address.
-- Index: the unique key (tenant_id, user_id).
DELETE FROM calendar_sync.calendar_feed WHERE tenant_id = %(tenant_id)s AND user_id = %(user_id)s
