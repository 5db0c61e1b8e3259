-- Purpose: nobody of the tenant is on this calendar any more, so that nothing can or should be pushed to it.
-- Index: pending_push_pkey, calendar_connection_calendar, departure_pkey.
DELETE FROM calendar_sync.pending_push
WHERE tenant_id = %(tenant_id)s
  AND calendar_id = %(calendar_id)s
  AND NOT EXISTS (
      SELECT FROM calendar_sync.calendar_connection
      WHERE tenant_id = %(tenant_id)s AND calendar_id = %(calendar_id)s AND state <> 'not_connected'
  )
  AND NOT EXISTS (
      SELECT FROM calendar_sync.departure WHERE tenant_id = %(tenant_id)s AND calendar_id = %(calendar_id)s
  )
