-- Purpose: lease the lanes that have been due longest and that nobody holds: so many of those that are well, and so many of those whose
-- last push was in vain, which have places of their own and never take anybody else's.
-- Index: lane_free (its predicate leaves out what is leased; the janitor puts expired leases back).
-- CTEs, because a sub-select may be planned in a way that loses the LIMIT.
WITH healthy AS (
    SELECT tenant_id, calendar_id
    FROM calendar_sync.lane
    WHERE lease_token IS NULL AND least(failures, 1) = 0 AND due_at <= calendar_sync.now()
    ORDER BY due_at
    LIMIT %(limit)s
    FOR NO KEY UPDATE SKIP LOCKED
), troubled AS (
    SELECT tenant_id, calendar_id
    FROM calendar_sync.lane
    WHERE lease_token IS NULL AND least(failures, 1) = 1 AND due_at <= calendar_sync.now()
    ORDER BY due_at
    LIMIT %(troubled_limit)s
    FOR NO KEY UPDATE SKIP LOCKED
), due AS (
    SELECT * FROM healthy UNION ALL SELECT * FROM troubled
)
UPDATE calendar_sync.lane
SET lease_token = gen_random_uuid(),
    lease_expires_at = calendar_sync.now() + make_interval(secs => %(lease_seconds)s)
FROM due
WHERE lane.tenant_id = due.tenant_id AND lane.calendar_id = due.calendar_id
RETURNING lane.tenant_id, lane.calendar_id, lane.lease_token, lane.failures
