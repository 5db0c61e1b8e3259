-- Purpose: the calendars that other users of the tenant sync to, and stay in.
-- Index: calendar_connection_calendar.
SELECT DISTINCT calendar_id
FROM calendar_sync.staying_user
WHERE tenant_id = %(tenant_id)s AND user_id <> %(user_id)s
