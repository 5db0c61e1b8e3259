-- Purpose: how long until the next free lane is due, in seconds; 0 or less if one is due already; no row value if none is.
-- Index: lane_free, its first entry.
SELECT extract(epoch FROM min(due_at) - calendar_sync.now())::float8 AS seconds
FROM calendar_sync.lane
WHERE lease_token IS NULL AND due_at IS NOT NULL
