-- Purpose: an answer of Google's ended what this connection could do. Writes nothing if its grant or its calendar has changed since.
-- Index: calendar_connection_pkey.
UPDATE calendar_sync.calendar_connection
SET state = %(state)s, reconnect_reason = %(reconnect_reason)s
WHERE connection_id = %(connection_id)s
  AND grant_version = %(grant_version)s
  AND calendar_id = %(calendar_id)s
  AND state = 'active'
