-- Purpose: a connection chooses a calendar that it was leaving; it leaves it no more.
-- Index: departure_pkey.
DELETE FROM calendar_sync.departure
USING calendar_sync.calendar_connection AS connection
WHERE connection.tenant_id = %(tenant_id)s
  AND connection.user_id = %(user_id)s
  AND departure.tenant_id = connection.tenant_id
  AND departure.calendar_id = %(calendar_id)s
  AND departure.connection_id = connection.connection_id
