-- Purpose: the calendars that other users of the tenant sync to, and stay in.
-- Index: calendar_connection_calendar.
SELECT DISTINCT calendar_id
FROM calendar_sync.calendar_connection
WHERE tenant_id = %(tenant_id)s AND user_id <> %(user_id)s AND calendar_id IS NOT NULL AND state NOT IN ('not_connected', 'disconnecting')
