-- Purpose: remember how many jobs a calendar is to be filled with. After mark_upcoming, which marks whatever waits there besides, so that
-- all that waits now is what the filling consists of; later marks are newer than this. Test pushes are no jobs.
-- Index: lane_pkey, pending_push_pkey.
UPDATE calendar_sync.lane
SET filling_since = calendar_sync.now(),
    filling_total = (
        SELECT count(*) FROM calendar_sync.pending_push AS pending
        WHERE pending.tenant_id = %(tenant_id)s
          AND pending.calendar_id = %(calendar_id)s
          AND NOT starts_with(pending.job_id, 'calendar-sync-test:')
    )
WHERE tenant_id = %(tenant_id)s AND calendar_id = %(calendar_id)s
