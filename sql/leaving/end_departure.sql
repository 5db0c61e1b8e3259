-- Purpose: a calendar has been emptied of what a connection alone wanted there, or is lost. No row: the user has gone back to it.
-- Index: departure_pkey.
DELETE FROM calendar_sync.departure
WHERE tenant_id = %(tenant_id)s AND calendar_id = %(calendar_id)s AND connection_id = %(connection_id)s
  AND (lost OR emptying_since IS NOT NULL)
RETURNING lost
