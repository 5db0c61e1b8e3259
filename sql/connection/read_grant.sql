-- Purpose: a user's grant, encrypted as it is stored, with what was chosen under it.
-- Index: the unique key (tenant_id, user_id).
SELECT tenant_id, user_id, connection_id, state, account_id, account_email, calendar_id, calendar_name, job_filter, paused,
       grant_version, scopes, refresh_token, access_token,
       extract(epoch FROM access_token_expires_at - calendar_sync.now())::float8 AS access_token_seconds_left
FROM calendar_sync.calendar_connection
WHERE tenant_id = %(tenant_id)s AND user_id = %(user_id)s AND refresh_token IS NOT NULL
