-- Purpose: end the lease and set when the lane is due next, from a snapshot taken after the lane was held.
-- Index: lane_pkey, pending_push_due, those of calendar_writer. Nothing due, or nobody who could push it: due_at becomes NULL.
-- Whatever still waits, the lane goes behind those that have been due until now: a long backlog takes turns. It rests longer if the
-- push was in vain, or if everybody who could push has been asked to wait; whether somebody else has joined is read here, not remembered.
-- What is not live rests longer if there is no quota for it now. The due times are those of lane_due as they will be with these rests.
-- A push that asked for nothing (troubled NULL) leaves the lane's failures as they are.
WITH rest AS (
    SELECT CASE WHEN %(backlog_rest_seconds)s::float8 > 0
                THEN calendar_sync.now() + make_interval(secs => %(backlog_rest_seconds)s::float8)
           END AS backlog_ends_at,
           greatest(
               calendar_sync.now() + make_interval(secs => %(rest_seconds)s::float8),
               CASE WHEN bool_and(coalesce(cooling_until > calendar_sync.now(), false)) THEN min(cooling_until) END
           ) AS ends_at
    FROM calendar_sync.calendar_writer AS writer
    -- The limit has each looked up by its key.
    CROSS JOIN LATERAL (
        SELECT cooling_until FROM calendar_sync.calendar_connection WHERE calendar_connection.connection_id = writer.connection_id LIMIT 1
    ) AS connection
    WHERE writer.tenant_id = %(tenant_id)s AND writer.calendar_id = %(calendar_id)s
)
UPDATE calendar_sync.lane
SET lease_token = NULL,
    lease_expires_at = NULL,
    failures = CASE WHEN %(troubled)s::boolean THEN lane.failures + 1 WHEN NOT %(troubled)s::boolean THEN 0 ELSE lane.failures END,
    not_before = rest.ends_at,
    backlog_not_before = coalesce(rest.backlog_ends_at, lane.backlog_not_before),
    (due_at, live_due_at) = (
        SELECT greatest(
                   least(
                       lane_due.live_from,
                       CASE WHEN lane_due.backlog_from IS NOT NULL
                            THEN greatest(lane_due.backlog_from, coalesce(rest.backlog_ends_at, lane.backlog_not_before)) END
                   ),
                   rest.ends_at
               ),
               CASE WHEN lane_due.live_from IS NOT NULL THEN greatest(lane_due.live_from, rest.ends_at) END
        -- The limit has each looked up once, however often it is named above.
        FROM (
            SELECT live_from, backlog_from
            FROM calendar_sync.lane_due
            WHERE lane_due.tenant_id = lane.tenant_id AND lane_due.calendar_id = lane.calendar_id
            LIMIT 1
        ) AS lane_due
    ),
    last_pushed_at = CASE WHEN %(pushed)s THEN calendar_sync.now() ELSE lane.last_pushed_at END
FROM rest
WHERE tenant_id = %(tenant_id)s AND calendar_id = %(calendar_id)s
