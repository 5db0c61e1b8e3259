-- Purpose: from now on a connection no longer wants its jobs in the calendar that it left. After their marks were written, which are counted;
-- test pushes are no events that are to go.
-- Index: departure_pkey, pending_push_pkey.
UPDATE calendar_sync.departure
SET emptying_since = calendar_sync.now(),
    total = (
        SELECT count(*) FROM calendar_sync.pending_push AS pending
        WHERE pending.tenant_id = %(tenant_id)s
          AND pending.calendar_id = %(calendar_id)s
          AND NOT starts_with(pending.job_id, 'calendar-sync-test:')
    )
WHERE tenant_id = %(tenant_id)s AND calendar_id = %(calendar_id)s AND connection_id = %(connection_id)s AND emptying_since IS NULL
