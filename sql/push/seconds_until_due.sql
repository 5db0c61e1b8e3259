-- Purpose: how long until the next free lane is due, in seconds; 0 or less if one is due already; NULL if none is. Lanes whose last
-- push was in vain count only if there is a slot for one.
-- Index: lane_free, the first entry of each of its two halves.
SELECT extract(epoch FROM least(
    (SELECT min(due_at) FROM calendar_sync.lane
     WHERE lease_token IS NULL AND least(failures, 1) = 0 AND due_at IS NOT NULL),
    CASE WHEN %(troubled)s THEN
        (SELECT min(due_at) FROM calendar_sync.lane
         WHERE lease_token IS NULL AND least(failures, 1) = 1 AND due_at IS NOT NULL)
    END
) - calendar_sync.now())::float8 AS seconds
