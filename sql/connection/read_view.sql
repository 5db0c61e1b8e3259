-- Purpose: what a user sees of the connection. Test pushes are no jobs that wait. A calendar is being filled while a mark from when that began
-- still waits; one that is parked counts as not done, and keeps nobody waiting.
-- Index: the unique key (tenant_id, user_id), lane_pkey; departure_connection; the counts walk pending_push of the user's calendars only.
SELECT CASE WHEN connection.state = 'active' AND connection.paused THEN 'paused' ELSE connection.state END AS state,
       connection.reconnect_reason, connection.account_email, connection.calendar_id, connection.calendar_name,
       connection.scopes, connection.connected_at, lane.last_pushed_at, marks.pending, marks.problems,
       CASE WHEN connection.cooling_until > calendar_sync.now() THEN connection.cooling_until END AS resting_until,
       CASE WHEN connection.cooling_until > calendar_sync.now() THEN connection.cooling_reason END AS resting_reason,
       connection.job_filter, connection.paused, connection.revocation, connection.events_left,
       CASE WHEN marks.to_fill_waiting > 0 THEN greatest(0, lane.filling_total - marks.to_fill) END AS filling_done,
       CASE WHEN marks.to_fill_waiting > 0 THEN lane.filling_total END AS filling_total
FROM calendar_sync.calendar_connection AS connection
LEFT JOIN calendar_sync.lane USING (tenant_id, calendar_id)
CROSS JOIN LATERAL (
    SELECT sum(mark.pending)::bigint AS pending, sum(mark.problems)::bigint AS problems,
           sum(mark.to_fill)::bigint AS to_fill, sum(mark.to_fill_waiting)::bigint AS to_fill_waiting
    FROM (
        SELECT connection.calendar_id
        UNION
        SELECT departure.calendar_id FROM calendar_sync.departure WHERE departure.connection_id = connection.connection_id
    ) AS calendar
    -- Counted one by one, so that each calendar is looked up in the index.
    CROSS JOIN LATERAL (
        SELECT count(*) FILTER (WHERE problem IS NULL AND here) AS pending,
               count(*) FILTER (WHERE problem IS NOT NULL) AS problems,
               count(*) FILTER (WHERE here AND of_filling) AS to_fill,
               count(*) FILTER (WHERE here AND of_filling AND due_at IS NOT NULL) AS to_fill_waiting
        FROM (
            SELECT pending.problem, pending.due_at,
                   pending.calendar_id = connection.calendar_id
                       AND NOT starts_with(pending.job_id, 'calendar-sync-test:') AS here,
                   pending.unanswered_since <= lane.filling_since
                       AND connection.state NOT IN ('calendar_lost', 'disconnecting') AS of_filling
            FROM calendar_sync.pending_push AS pending
            WHERE pending.tenant_id = connection.tenant_id AND pending.calendar_id = calendar.calendar_id
        ) AS waiting
    ) AS mark
) AS marks
WHERE connection.tenant_id = %(tenant_id)s AND connection.user_id = %(user_id)s
