-- Purpose: the next lane after a key that somebody can push to.
-- Index: lane_pkey, calendar_connection_calendar.
SELECT tenant_id, calendar_id
FROM calendar_sync.lane
WHERE (tenant_id, calendar_id) > (%(after_tenant_id)s, %(after_calendar_id)s)
  AND EXISTS (
    SELECT FROM calendar_sync.calendar_connection AS connection
    WHERE connection.tenant_id = lane.tenant_id
      AND connection.calendar_id = lane.calendar_id
      AND connection.state = 'active'
      AND NOT connection.paused
    OFFSET 0 -- looked up for each lane, and for no more lanes than it takes
  )
ORDER BY tenant_id, calendar_id
LIMIT 1
