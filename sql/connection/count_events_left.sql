-- Purpose: how many events of ours the calendars of a connection may show, the chosen one and those being left, that nobody else of the
-- tenant keeps up to date.
-- Index: the unique key (tenant_id, user_id), departure_connection, pushed_event_pkey, calendar_connection_calendar.
SELECT count(*)
FROM calendar_sync.users_calendar AS used
JOIN calendar_sync.pushed_event AS pushed USING (tenant_id, calendar_id)
WHERE used.tenant_id = %(tenant_id)s
  AND used.user_id = %(user_id)s
  AND (pushed.content_hash IS NOT NULL OR pushed.in_doubt)
  AND NOT EXISTS (
      SELECT FROM calendar_sync.staying_user AS staying
      WHERE staying.tenant_id = used.tenant_id
        AND staying.calendar_id = used.calendar_id
        AND staying.user_id <> %(user_id)s
  )
