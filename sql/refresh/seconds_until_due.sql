-- Purpose: how long until the next token is to be looked at, in seconds; NULL if there is none.
-- Index: token_refresh_due, its first entry.
SELECT extract(epoch FROM min(due_at) - calendar_sync.now())::float8 FROM calendar_sync.token_refresh
