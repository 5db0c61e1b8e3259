-- Purpose: a connection has changed its account, or is gone: it has no access to the calendars any more that it was leaving.
-- Index: departure_connection. Answers those calendars.
DELETE FROM calendar_sync.departure
USING calendar_sync.calendar_connection AS connection
WHERE connection.tenant_id = %(tenant_id)s
  AND connection.user_id = %(user_id)s
  AND departure.connection_id = connection.connection_id
RETURNING departure.calendar_id
