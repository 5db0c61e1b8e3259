-- Purpose: a calendar that a connection is leaving is lost, so that nothing more can be removed from it.
-- Index: departure_pkey.
UPDATE calendar_sync.departure SET lost = true
FROM calendar_sync.calendar_connection AS connection
WHERE departure.tenant_id = connection.tenant_id
  AND departure.calendar_id = %(calendar_id)s
  AND departure.connection_id = connection.connection_id
  AND connection.connection_id = %(connection_id)s
  AND connection.grant_version = %(grant_version)s
