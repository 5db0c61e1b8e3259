-- Purpose: everybody who has chosen this calendar, with what a push needs of them.
-- Index: calendar_connection_calendar.
SELECT connection_id, user_id, state, paused, job_filter, grant_version,
       refresh_token, access_token,
       extract(epoch FROM access_token_expires_at - calendar_sync.now())::float8 AS access_token_seconds_left,
       extract(epoch FROM cooling_until - calendar_sync.now())::float8 AS cooling_seconds_left
FROM calendar_sync.calendar_connection
WHERE tenant_id = %(tenant_id)s AND calendar_id = %(calendar_id)s AND state <> 'not_connected'
ORDER BY connection_id
