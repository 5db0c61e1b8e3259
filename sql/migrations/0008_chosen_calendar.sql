-- Whose the calendars are that were chosen before 0007 wrote it down. By itself, because it looks through all that was ever pushed, and 0007
-- holds up whoever connects meanwhile. Of connections that ended it is known by what was pushed through them.
INSERT INTO calendar_sync.chosen_calendar (tenant_id, calendar_id, connection_id)
SELECT tenant_id, calendar_id, connection_id FROM calendar_sync.calendar_connection WHERE calendar_id IS NOT NULL
UNION
SELECT tenant_id, calendar_id, connection_id FROM calendar_sync.departure
UNION
SELECT pushed.tenant_id, pushed.calendar_id, pushed.seen_by
FROM calendar_sync.pushed_event AS pushed
JOIN calendar_sync.calendar_connection AS connection
    ON connection.connection_id = pushed.seen_by AND connection.tenant_id = pushed.tenant_id
ON CONFLICT DO NOTHING;
