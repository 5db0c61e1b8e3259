-- Purpose: forget scopes of which nothing counts any more.
-- Reads the whole small table: a row for each account that was called lately. Rows that somebody holds are in use.
WITH idle AS (
    SELECT scope
    FROM calendar_sync.quota
    WHERE idle_from < calendar_sync.now() - interval '10 minutes'
    ORDER BY scope
    LIMIT 1000
    FOR UPDATE SKIP LOCKED
)
DELETE FROM calendar_sync.quota USING idle WHERE quota.scope = idle.scope
