-- Purpose: nobody of the tenant is on this calendar any more, so that nothing can or should be pushed to it.
-- Index: pending_push_pkey; calendar_connection_calendar and departure_pkey, those of users_calendar.
DELETE FROM calendar_sync.pending_push
WHERE tenant_id = %(tenant_id)s
  AND calendar_id = %(calendar_id)s
  AND NOT EXISTS (
      SELECT FROM calendar_sync.users_calendar WHERE tenant_id = %(tenant_id)s AND calendar_id = %(calendar_id)s
  )
