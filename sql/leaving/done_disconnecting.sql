-- Purpose: users who are being disconnected and whose calendars have been emptied, or can no longer be; all, or this one.
-- Index: calendar_connection_disconnecting, departure_connection.
SELECT connection.tenant_id, connection.user_id
FROM calendar_sync.calendar_connection AS connection
WHERE connection.state = 'disconnecting'
  AND (connection.cannot_empty
       OR NOT EXISTS (SELECT FROM calendar_sync.departure WHERE departure.connection_id = connection.connection_id))
  AND (%(tenant_id)s::text IS NULL OR (connection.tenant_id = %(tenant_id)s AND connection.user_id = %(user_id)s))
LIMIT 100
