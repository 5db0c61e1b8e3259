-- Purpose: a user disconnects: the calendars being left are emptied without waiting for a new one. After their marks were written,
-- because marks older than this are what it waits for.
-- Index: the unique key (tenant_id, user_id), departure_connection.
UPDATE calendar_sync.departure
SET emptying_since = calendar_sync.now()
FROM calendar_sync.calendar_connection AS connection
WHERE connection.tenant_id = %(tenant_id)s
  AND connection.user_id = %(user_id)s
  AND departure.connection_id = connection.connection_id
