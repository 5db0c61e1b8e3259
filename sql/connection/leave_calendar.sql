-- Purpose: a connection leaves this calendar, to be emptied later.
-- Index: the unique key (tenant_id, user_id), departure_pkey.
INSERT INTO calendar_sync.departure (tenant_id, calendar_id, connection_id, calendar_name)
SELECT tenant_id, %(calendar_id)s, connection_id, %(calendar_name)s
FROM calendar_sync.calendar_connection
WHERE tenant_id = %(tenant_id)s AND user_id = %(user_id)s
ON CONFLICT (tenant_id, calendar_id, connection_id) DO NOTHING
