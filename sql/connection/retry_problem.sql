-- Purpose: try again, now, what could not be pushed to a user's calendar, or removed from one that is being left. No row: it has been
-- tried again since, or never was his.
-- Index: the unique key (tenant_id, user_id), departure_connection, pending_push_pkey.
UPDATE calendar_sync.pending_push AS pending
SET generation = nextval('calendar_sync.mark_generation'), due_at = calendar_sync.now(), attempts = 0, problem = NULL
FROM (
    SELECT tenant_id, calendar_id
    FROM calendar_sync.calendar_connection
    WHERE tenant_id = %(tenant_id)s AND user_id = %(user_id)s
    UNION
    SELECT departure.tenant_id, departure.calendar_id
    FROM calendar_sync.departure
    JOIN calendar_sync.calendar_connection AS connection USING (connection_id)
    WHERE connection.tenant_id = %(tenant_id)s AND connection.user_id = %(user_id)s
) AS used
WHERE pending.tenant_id = used.tenant_id
  AND pending.calendar_id = used.calendar_id
  AND pending.generation = %(generation)s
  AND pending.problem IS NOT NULL
RETURNING pending.job_id
