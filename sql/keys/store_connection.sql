-- Purpose: put the same tokens under another key, unless they have been renewed since they were read.
-- Index: calendar_connection_pkey.
UPDATE calendar_sync.calendar_connection SET refresh_token = %(refresh_token)s, access_token = %(access_token)s
WHERE connection_id = %(id)s
  AND refresh_token IS NOT DISTINCT FROM %(old_refresh_token)s
  AND access_token IS NOT DISTINCT FROM %(old_access_token)s
