-- Purpose: everybody who has chosen this calendar or is leaving it, with what a push needs of them.
-- Index: calendar_connection_calendar, departure_pkey, calendar_connection_pkey.
SELECT connection.tenant_id, connection.connection_id, connection.user_id, connection.account_id, connection.state, connection.job_filter,
       connection.grant_version, connection.refresh_token, connection.access_token, here.emptying,
       EXISTS (
           SELECT FROM calendar_sync.calendar_writer AS writer
           WHERE writer.connection_id = connection.connection_id
             AND writer.tenant_id = %(tenant_id)s
             AND writer.calendar_id = %(calendar_id)s
       ) AS may_push,
       extract(epoch FROM connection.access_token_expires_at - calendar_sync.now())::float8 AS access_token_seconds_left,
       extract(epoch FROM connection.cooling_until - calendar_sync.now())::float8 AS cooling_seconds_left
FROM (
    SELECT connection_id, false AS emptying
    FROM calendar_sync.calendar_connection
    WHERE tenant_id = %(tenant_id)s AND calendar_id = %(calendar_id)s AND state NOT IN ('not_connected', 'disconnecting')
    UNION ALL
    SELECT connection_id, emptying_since IS NOT NULL
    FROM calendar_sync.departure
    WHERE tenant_id = %(tenant_id)s AND calendar_id = %(calendar_id)s
) AS here
CROSS JOIN LATERAL (
    SELECT * FROM calendar_sync.calendar_connection WHERE calendar_connection.connection_id = here.connection_id LIMIT 1
) AS connection
ORDER BY connection.connection_id
