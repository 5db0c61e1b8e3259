-- Purpose: take the grant whose token has been due longest. It is put off for a while at once, so that nobody else takes it meanwhile, and
-- so that one that cannot be renewed now makes room; renewing it sets the time anew. One that has pushed nothing for hours and
-- has nothing to push is not wanted now, and is put off until it is to be touched in any case.
-- Index: token_refresh_due, its first entry; then the primary keys, departure_connection and pending_push_due.
-- A CTE, because a sub-select may be planned in a way that loses the LIMIT. The other limits, and the one key that the update is given, have each
-- row looked up by its key.
WITH due AS (
    SELECT connection_id, touch_at
    FROM calendar_sync.token_refresh
    WHERE due_at <= calendar_sync.now()
    ORDER BY due_at
    LIMIT 1
    FOR NO KEY UPDATE SKIP LOCKED
), judged AS (
    SELECT due.connection_id,
           due.touch_at <= calendar_sync.now() OR EXISTS (
               SELECT FROM calendar_sync.calendar_writer AS writer
               CROSS JOIN LATERAL (
                   SELECT last_pushed_at, due_at
                   FROM calendar_sync.lane
                   WHERE lane.tenant_id = writer.tenant_id AND lane.calendar_id = writer.calendar_id
                   LIMIT 1
               ) AS lane
               WHERE writer.connection_id = due.connection_id
                 AND (lane.last_pushed_at > calendar_sync.now() - make_interval(secs => %(in_use_seconds)s)
                      OR lane.due_at IS NOT NULL)
               OFFSET 0
           ) AS wanted
    FROM due
)
UPDATE calendar_sync.token_refresh AS refresh
SET due_at = CASE WHEN judged.wanted THEN calendar_sync.now() + make_interval(secs => %(claim_seconds)s) ELSE refresh.touch_at END
FROM judged
CROSS JOIN LATERAL (
    SELECT * FROM calendar_sync.calendar_connection WHERE calendar_connection.connection_id = judged.connection_id LIMIT 1
) AS connection
WHERE refresh.connection_id = (SELECT connection_id FROM due) AND refresh.connection_id = judged.connection_id
RETURNING judged.wanted, connection.tenant_id, connection.user_id, connection.connection_id, connection.grant_version,
          connection.refresh_token, connection.access_token,
          extract(epoch FROM connection.access_token_expires_at - calendar_sync.now())::float8 AS access_token_seconds_left
