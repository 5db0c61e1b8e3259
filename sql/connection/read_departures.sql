-- Purpose: the calendars of a user that are still to be emptied: how many events are to be looked at there, of how many (NULL: it has not
-- begun), and whether somebody else of the tenant stays. While disconnecting the chosen calendar is one of them. Test pushes are no events.
-- Index: the unique key (tenant_id, user_id), departure_connection, pending_push_pkey, pushed_event_pkey, calendar_connection_calendar.
SELECT coalesce(departure.calendar_name, departure.calendar_id) AS name,
       left_there.events,
       CASE WHEN departure.emptying_since IS NOT NULL THEN greatest(departure.total, left_there.events) END AS total,
       EXISTS (
           SELECT FROM calendar_sync.staying_user AS staying
           WHERE staying.tenant_id = departure.tenant_id
             AND staying.calendar_id = departure.calendar_id
             AND staying.connection_id <> departure.connection_id
       ) AS shared
FROM calendar_sync.departure
JOIN calendar_sync.calendar_connection AS connection USING (connection_id)
CROSS JOIN LATERAL (
    SELECT CASE WHEN departure.emptying_since IS NOT NULL THEN (
        SELECT count(*) FROM calendar_sync.pending_push AS pending
        WHERE pending.tenant_id = departure.tenant_id
          AND pending.calendar_id = departure.calendar_id
          AND pending.unanswered_since <= departure.emptying_since
          AND NOT starts_with(pending.job_id, 'calendar-sync-test:')
    ) ELSE (
        SELECT count(*) FROM calendar_sync.pushed_event AS pushed
        WHERE pushed.tenant_id = departure.tenant_id
          AND pushed.calendar_id = departure.calendar_id
          AND pushed.content_hash IS NOT NULL
    ) END AS events
) AS left_there
WHERE connection.tenant_id = %(tenant_id)s AND connection.user_id = %(user_id)s
ORDER BY departure.calendar_id IS DISTINCT FROM connection.calendar_id, departure.left_at
