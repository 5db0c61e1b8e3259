-- Purpose: the ids of the calendars that a user is leaving and has not lost.
-- Index: the unique key (tenant_id, user_id), departure_connection.
SELECT departure.calendar_id
FROM calendar_sync.departure
JOIN calendar_sync.calendar_connection AS connection USING (connection_id)
WHERE connection.tenant_id = %(tenant_id)s AND connection.user_id = %(user_id)s AND NOT departure.lost
ORDER BY departure.calendar_id
