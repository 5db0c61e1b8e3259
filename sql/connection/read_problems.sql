-- Purpose: what could not be pushed to a user's calendar, or removed from one that is being left, the oldest first.
-- Index: the unique key (tenant_id, user_id), departure_connection, pending_push_pkey, job_pkey.
SELECT problem.generation::text AS id, problem.job_id, problem.job_number, problem.problem AS reason,
       problem.first_marked_at AS since
FROM (
    SELECT tenant_id, calendar_id
    FROM calendar_sync.calendar_connection
    WHERE tenant_id = %(tenant_id)s AND user_id = %(user_id)s
    UNION
    SELECT departure.tenant_id, departure.calendar_id
    FROM calendar_sync.departure
    JOIN calendar_sync.calendar_connection AS connection USING (connection_id)
    WHERE connection.tenant_id = %(tenant_id)s AND connection.user_id = %(user_id)s
) AS used
JOIN calendar_sync.job_problem AS problem USING (tenant_id, calendar_id)
ORDER BY problem.first_marked_at, problem.generation
LIMIT %(limit)s
