-- Purpose: a user who was disconnecting stays: the calendars that were being left for another one are kept again until that one is filled.
-- Index: the unique key (tenant_id, user_id), departure_connection. Answers those calendars.
UPDATE calendar_sync.departure
SET emptying_since = NULL, total = NULL
FROM calendar_sync.calendar_connection AS connection
WHERE connection.tenant_id = %(tenant_id)s
  AND connection.user_id = %(user_id)s
  AND departure.connection_id = connection.connection_id
  AND NOT departure.lost
RETURNING departure.calendar_id
