-- Purpose: remind users of what waits for them, and set when they are reminded next; the reason is what is wrong by now.
-- Index: outage_reminder, calendar_connection_pkey. In slices; an outage that is just ending is left alone.
WITH due AS (
    SELECT connection_id
    FROM calendar_sync.outage
    WHERE remind_at <= calendar_sync.now()
    ORDER BY remind_at
    LIMIT %(limit)s
    FOR NO KEY UPDATE SKIP LOCKED
), reminded AS (
    UPDATE calendar_sync.outage
    SET remind_at = calendar_sync.next_reminder(outage.broken_at)
    FROM due
    WHERE outage.connection_id = due.connection_id
    RETURNING outage.connection_id
)
INSERT INTO calendar_sync.notification (tenant_id, user_id, kind, reason)
SELECT connection.tenant_id, connection.user_id, 'reminder', coalesce(connection.reconnect_reason, connection.state)
FROM reminded
JOIN calendar_sync.calendar_connection AS connection USING (connection_id)
