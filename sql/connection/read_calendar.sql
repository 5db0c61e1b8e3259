-- Purpose: the calendar that this user has chosen so far.
-- Index: the unique key (tenant_id, user_id).
SELECT calendar_id FROM calendar_sync.calendar_connection WHERE tenant_id = %(tenant_id)s AND user_id = %(user_id)s
