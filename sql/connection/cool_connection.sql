-- Purpose: Google asked this account to wait.
-- Index: calendar_connection_pkey.
UPDATE calendar_sync.calendar_connection
SET cooling_until = calendar_sync.now() + make_interval(secs => %(seconds)s)
WHERE connection_id = %(connection_id)s AND grant_version = %(grant_version)s
