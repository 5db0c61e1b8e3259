-- Purpose: a connection takes this calendar. One whose grant is dead takes it for the time after the reconnect.
-- Index: the unique key (tenant_id, user_id).
UPDATE calendar_sync.calendar_connection
SET calendar_id = %(calendar_id)s,
    calendar_name = %(calendar_name)s,
    lost_calendar_id = NULL,
    state = CASE WHEN state = 'needs_reconnect' THEN state ELSE 'active' END
WHERE tenant_id = %(tenant_id)s AND user_id = %(user_id)s
