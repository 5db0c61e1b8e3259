-- Purpose: how long until the next token is to be looked at, in seconds; NULL if there is none.
-- Index: token_refresh_due, its first entry.
SELECT extract(epoch FROM (
    SELECT due_at FROM calendar_sync.token_refresh ORDER BY due_at LIMIT 1
) - calendar_sync.now())::float8
