-- Purpose: a user disconnects: the calendars being left are emptied without waiting for a new one. After their marks were written,
-- because marks older than this are what it waits for, and are counted. Test pushes are no events that are to go.
-- Index: the unique key (tenant_id, user_id), departure_connection, pending_push_pkey.
UPDATE calendar_sync.departure
SET emptying_since = calendar_sync.now(),
    total = (
        SELECT count(*) FROM calendar_sync.pending_push AS pending
        WHERE pending.tenant_id = departure.tenant_id
          AND pending.calendar_id = departure.calendar_id
          AND NOT starts_with(pending.job_id, 'calendar-sync-test:')
    )
FROM calendar_sync.calendar_connection AS connection
WHERE connection.tenant_id = %(tenant_id)s
  AND connection.user_id = %(user_id)s
  AND departure.connection_id = connection.connection_id
