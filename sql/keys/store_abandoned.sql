-- Purpose: put the same token under another key.
-- Index: abandoned_grant_pkey.
UPDATE calendar_sync.abandoned_grant SET refresh_token = %(refresh_token)s
WHERE grant_id = %(id)s AND refresh_token = %(old_refresh_token)s
