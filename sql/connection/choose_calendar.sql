-- Purpose: a connection that has no calendar yet takes this one. No row: there is no such connection, or it has chosen.
-- Index: the unique key (tenant_id, user_id).
UPDATE calendar_sync.calendar_connection
SET calendar_id = %(calendar_id)s, calendar_name = %(calendar_name)s, state = 'active'
WHERE tenant_id = %(tenant_id)s AND user_id = %(user_id)s AND state = 'choose_calendar'
RETURNING connection_id
