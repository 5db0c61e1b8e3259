-- Purpose: how long until the next free lane is due (for a live edit, if only that is asked), in seconds; 0 or less if one is due already;
-- NULL if none is. Lanes whose last push was in vain count only if there is a slot for one.
-- Index: lane_free, or lane_free_live: the first entry of each of its two halves that is due since then (see lease_lanes). LIMIT rather than
-- min(), which before PostgreSQL 16 looks at all that are due where few are expected.
SELECT extract(epoch FROM CASE WHEN %(live_only)s THEN least(
    (SELECT live_due_at FROM calendar_sync.lane
     WHERE lease_token IS NULL AND least(failures, 1) = 0 AND live_due_at >= %(since)s::timestamptz
     ORDER BY live_due_at LIMIT 1),
    CASE WHEN %(troubled)s THEN
        (SELECT live_due_at FROM calendar_sync.lane
         WHERE lease_token IS NULL AND least(failures, 1) = 1 AND live_due_at >= %(since)s::timestamptz
         ORDER BY live_due_at LIMIT 1)
    END
) ELSE least(
    (SELECT due_at FROM calendar_sync.lane
     WHERE lease_token IS NULL AND least(failures, 1) = 0 AND due_at >= %(since)s::timestamptz
     ORDER BY due_at LIMIT 1),
    CASE WHEN %(troubled)s THEN
        (SELECT due_at FROM calendar_sync.lane
         WHERE lease_token IS NULL AND least(failures, 1) = 1 AND due_at >= %(since)s::timestamptz
         ORDER BY due_at LIMIT 1)
    END
) END - calendar_sync.now())::float8 AS seconds
