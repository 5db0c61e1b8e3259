-- Purpose: the calendars that a tenant's users, or this one, sync to or are leaving, and whether anything could be removed there.
-- Index: those of users_calendar.
SELECT used.calendar_id, connection.state = 'needs_reconnect' OR connection.cannot_empty AS no_access
FROM calendar_sync.users_calendar AS used
JOIN calendar_sync.calendar_connection AS connection USING (tenant_id, user_id)
WHERE used.tenant_id = %(tenant_id)s AND (%(user_id)s::text IS NULL OR used.user_id = %(user_id)s)
