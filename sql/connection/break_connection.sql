-- Purpose: an answer of Google's ended what this connection could do. Writes nothing if its grant has changed since, or, where the
-- calendar is what was lost, its calendar. A connection that is being disconnected stays so; without a grant it can remove no more.
-- Index: calendar_connection_pkey.
UPDATE calendar_sync.calendar_connection
SET state = CASE WHEN state = 'disconnecting' THEN state ELSE %(state)s END,
    reconnect_reason = %(reconnect_reason)s,
    lost_calendar_id = CASE WHEN %(state)s = 'calendar_lost' THEN calendar_id ELSE lost_calendar_id END,
    cannot_empty = state = 'disconnecting' AND (cannot_empty OR %(state)s = 'needs_reconnect')
WHERE connection_id = %(connection_id)s
  AND grant_version = %(grant_version)s
  AND state IN ('active', 'choose_calendar', 'calendar_lost', 'disconnecting')
  AND (%(state)s <> 'calendar_lost' OR (state <> 'choose_calendar' AND calendar_id = %(calendar_id)s))
