-- Purpose: whether the project's requests of 24 hours are beyond what an operator should know; told to one asker an hour.
-- Index: request_hour_pkey.
UPDATE calendar_sync.request_hour AS this
SET alarmed = true
FROM (
    SELECT sum(requests)::bigint AS requests
    FROM calendar_sync.request_hour
    WHERE hour >= date_trunc('hour', calendar_sync.now()) - interval '24 hours'
) AS day
WHERE this.hour = date_trunc('hour', calendar_sync.now()) AND NOT this.alarmed AND day.requests > %(alarm)s
RETURNING day.requests
