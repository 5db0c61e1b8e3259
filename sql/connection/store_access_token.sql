-- Purpose: keep a renewed access token, unless the grant has changed since it was asked for.
-- Index: calendar_connection_pkey.
UPDATE calendar_sync.calendar_connection
SET access_token = %(access_token)s,
    access_token_expires_at = calendar_sync.now() + make_interval(secs => %(expires_in)s),
    refresh_token = coalesce(%(refresh_token)s, refresh_token)
WHERE connection_id = %(connection_id)s AND grant_version = %(grant_version)s
