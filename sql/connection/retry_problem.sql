-- Purpose: try again, now, what could not be pushed to a user's calendar, or removed from one that is being left. No row: it has been
-- tried again since, or never was his.
-- Index: the unique key (tenant_id, user_id), departure_connection, pending_push_pkey.
UPDATE calendar_sync.pending_push AS pending
SET generation = nextval('calendar_sync.mark_generation'), due_at = calendar_sync.now(), attempts = 0, problem = NULL
FROM calendar_sync.users_calendar AS used
WHERE used.tenant_id = %(tenant_id)s
  AND used.user_id = %(user_id)s
  AND pending.tenant_id = used.tenant_id
  AND pending.calendar_id = used.calendar_id
  AND pending.generation = %(generation)s
  AND pending.problem IS NOT NULL
RETURNING pending.job_id
