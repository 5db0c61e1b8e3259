-- Purpose: the next connections with tokens, in the order of their keys.
-- Index: calendar_connection_pkey.
SELECT connection_id AS id, tenant_id, user_id, refresh_token, access_token, grant_version,
       state = 'needs_reconnect' OR cannot_empty AS given_up
FROM calendar_sync.calendar_connection
WHERE connection_id > %(after)s AND (refresh_token IS NOT NULL OR access_token IS NOT NULL)
ORDER BY connection_id
LIMIT %(limit)s
