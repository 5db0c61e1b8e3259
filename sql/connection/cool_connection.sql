-- Purpose: a connection rests, and says why; where Google said it of the account, every connection of the account does, whoever's it is.
-- Never shortens a rest. Writes nothing if the grant has changed since.
-- Index: calendar_connection_pkey, calendar_connection_account. In key order, so that two daemons cannot wait for each other.
WITH asked AS (
    SELECT connection_id, account_id, calendar_sync.now() + make_interval(secs => %(seconds)s::float8) AS until
    FROM calendar_sync.calendar_connection
    WHERE connection_id = %(connection_id)s AND grant_version = %(grant_version)s
), resting AS (
    SELECT connection.connection_id
    FROM calendar_sync.calendar_connection AS connection
    WHERE connection.connection_id IN (
        SELECT asked.connection_id FROM asked
        UNION ALL
        SELECT other.connection_id
        FROM asked
        JOIN calendar_sync.calendar_connection AS other ON other.account_id = asked.account_id
        WHERE %(whole_account)s::boolean
    )
    ORDER BY connection.connection_id
    FOR NO KEY UPDATE
)
UPDATE calendar_sync.calendar_connection AS connection
SET cooling_until = greatest(connection.cooling_until, asked.until),
    cooling_reason = CASE WHEN connection.cooling_until >= asked.until THEN connection.cooling_reason ELSE %(why)s END
FROM resting, asked
WHERE connection.connection_id = resting.connection_id
