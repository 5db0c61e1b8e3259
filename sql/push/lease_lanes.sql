-- Purpose: lease lanes that are due and that nobody holds: so many of those that are well, and so many of those whose last push was in
-- vain, which have places of their own and never take anybody else's. In each half those with live edits go first, and then those that have
-- been due longest.
-- Only lanes due since then: a hint that spares walking over dead entries of the index; now and then it is -infinity.
-- Index: lane_free_live, lane_free (their predicates leave out what is leased; the janitor puts expired leases back).
-- CTEs, because a sub-select may be planned in a way that loses the LIMIT. Rows that are held stay where they are, and are named as a list besides,
-- so that no others are looked at; one that somebody changed since this statement began is left to the next look.
WITH healthy_live AS (
    SELECT ctid AS place, coalesce(least(live_due_at, due_at), due_at) AS was_due_at
    FROM calendar_sync.lane
    WHERE lease_token IS NULL AND least(failures, 1) = 0
      AND live_due_at >= %(since)s::timestamptz AND live_due_at <= calendar_sync.now() AND due_at <= calendar_sync.now()
    ORDER BY live_due_at
    LIMIT %(limit)s
    FOR NO KEY UPDATE SKIP LOCKED
), troubled_live AS (
    SELECT ctid AS place, coalesce(least(live_due_at, due_at), due_at) AS was_due_at
    FROM calendar_sync.lane
    WHERE lease_token IS NULL AND least(failures, 1) = 1
      AND live_due_at >= %(since)s::timestamptz AND live_due_at <= calendar_sync.now() AND due_at <= calendar_sync.now()
    ORDER BY live_due_at
    LIMIT %(troubled_limit)s
    FOR NO KEY UPDATE SKIP LOCKED
), healthy AS (
    SELECT ctid AS place, coalesce(least(live_due_at, due_at), due_at) AS was_due_at
    FROM calendar_sync.lane
    WHERE lease_token IS NULL AND least(failures, 1) = 0 AND due_at >= %(since)s::timestamptz AND due_at <= calendar_sync.now()
      AND (live_due_at > calendar_sync.now()) IS NOT FALSE
    ORDER BY due_at
    LIMIT CASE WHEN %(live_only)s THEN 0 ELSE %(limit)s - (SELECT count(*) FROM healthy_live) END
    FOR NO KEY UPDATE SKIP LOCKED
), troubled AS (
    SELECT ctid AS place, coalesce(least(live_due_at, due_at), due_at) AS was_due_at
    FROM calendar_sync.lane
    WHERE lease_token IS NULL AND least(failures, 1) = 1 AND due_at >= %(since)s::timestamptz AND due_at <= calendar_sync.now()
      AND (live_due_at > calendar_sync.now()) IS NOT FALSE
    ORDER BY due_at
    LIMIT CASE WHEN %(live_only)s THEN 0 ELSE %(troubled_limit)s - (SELECT count(*) FROM troubled_live) END
    FOR NO KEY UPDATE SKIP LOCKED
), due AS (
    SELECT * FROM healthy_live UNION ALL SELECT * FROM troubled_live
    UNION ALL SELECT * FROM healthy UNION ALL SELECT * FROM troubled
)
UPDATE calendar_sync.lane
SET lease_token = gen_random_uuid(),
    lease_expires_at = calendar_sync.now() + make_interval(secs => %(lease_seconds)s)
FROM due
WHERE lane.ctid = ANY (ARRAY(SELECT place FROM due)) AND lane.ctid = due.place
RETURNING lane.tenant_id, lane.calendar_id, lane.lease_token, lane.failures, due.was_due_at
