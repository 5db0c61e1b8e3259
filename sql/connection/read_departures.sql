-- Purpose: the former calendars of a user that are still to be emptied, with how many events are to be looked at there.
-- Index: the unique key (tenant_id, user_id), departure_connection, pending_push_pkey, pushed_event_pkey.
SELECT coalesce(departure.calendar_name, departure.calendar_id) AS name,
       CASE WHEN departure.emptying_since IS NOT NULL THEN (
           SELECT count(*) FROM calendar_sync.pending_push AS pending
           WHERE pending.tenant_id = departure.tenant_id AND pending.calendar_id = departure.calendar_id
       ) ELSE (
           SELECT count(*) FROM calendar_sync.pushed_event AS pushed
           WHERE pushed.tenant_id = departure.tenant_id
             AND pushed.calendar_id = departure.calendar_id
             AND pushed.content_hash IS NOT NULL
       ) END AS events
FROM calendar_sync.departure
JOIN calendar_sync.calendar_connection AS connection USING (connection_id)
WHERE connection.tenant_id = %(tenant_id)s
  AND connection.user_id = %(user_id)s
  AND departure.calendar_id IS DISTINCT FROM connection.calendar_id
ORDER BY departure.left_at
