-- Purpose: how long until the next free lane is due (for a live edit, if only that is asked), in seconds; 0 or less if one is due already;
-- NULL if none is. Lanes whose last push was in vain count only if there is a slot for one.
-- Index: lane_free, or lane_free_live: the first entry of each of its two halves that is due since then (see lease_lanes).
SELECT extract(epoch FROM CASE WHEN %(live_only)s THEN least(
    (SELECT min(live_due_at) FROM calendar_sync.lane
     WHERE lease_token IS NULL AND least(failures, 1) = 0 AND live_due_at >= %(since)s::timestamptz),
    CASE WHEN %(troubled)s THEN
        (SELECT min(live_due_at) FROM calendar_sync.lane
         WHERE lease_token IS NULL AND least(failures, 1) = 1 AND live_due_at >= %(since)s::timestamptz)
    END
) ELSE least(
    (SELECT min(due_at) FROM calendar_sync.lane
     WHERE lease_token IS NULL AND least(failures, 1) = 0 AND due_at >= %(since)s::timestamptz),
    CASE WHEN %(troubled)s THEN
        (SELECT min(due_at) FROM calendar_sync.lane
         WHERE lease_token IS NULL AND least(failures, 1) = 1 AND due_at >= %(since)s::timestamptz)
    END
) END - calendar_sync.now())::float8 AS seconds
