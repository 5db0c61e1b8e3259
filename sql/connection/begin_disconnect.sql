-- Purpose: a connection is being disconnected: the calendars that it chose, or is leaving, are emptied first. False: there is none that it can
-- still write to, and nothing was changed. Index: the unique key (tenant_id, user_id), departure_connection.
SELECT calendar_sync.begin_disconnect(%(tenant_id)s, %(user_id)s)
