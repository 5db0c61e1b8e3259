-- Purpose: departures for another calendar that is filled: of no job that the old one shows does the new one still wait for its event.
-- Index: departure is small; calendar_connection_pkey, then pushed_event_pkey of both calendars and pending_push_pkey.
SELECT departure.tenant_id, departure.calendar_id, departure.connection_id
FROM calendar_sync.departure
JOIN calendar_sync.calendar_connection AS connection USING (connection_id)
WHERE departure.emptying_since IS NULL
  AND NOT departure.lost
  AND connection.state = 'active'
  AND NOT connection.paused
  AND NOT EXISTS (
      SELECT FROM calendar_sync.pending_push AS pending
      JOIN calendar_sync.pushed_event AS former
          ON former.tenant_id = departure.tenant_id
          AND former.calendar_id = departure.calendar_id
          AND former.job_id = pending.job_id
          AND former.content_hash IS NOT NULL
      WHERE pending.tenant_id = connection.tenant_id
        AND pending.calendar_id = connection.calendar_id
        AND pending.due_at IS NOT NULL
        AND NOT EXISTS (
            SELECT FROM calendar_sync.pushed_event AS present
            WHERE present.tenant_id = pending.tenant_id
              AND present.calendar_id = pending.calendar_id
              AND present.job_id = pending.job_id
              AND present.content_hash IS NOT NULL
        )
  )
LIMIT 100
