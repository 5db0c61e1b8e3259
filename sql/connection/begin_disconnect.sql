-- Purpose: a connection is being disconnected: its calendars are emptied first.
-- Index: the unique key (tenant_id, user_id).
UPDATE calendar_sync.calendar_connection SET state = 'disconnecting', cannot_empty = false, paused = false
WHERE tenant_id = %(tenant_id)s AND user_id = %(user_id)s
