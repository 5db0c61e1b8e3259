-- Purpose: what could not be pushed to a user's calendar, or removed from one that is being left, the oldest first.
-- Index: the unique key (tenant_id, user_id), departure_connection, pending_push_pkey, job_pkey.
SELECT problem.generation::text AS id, problem.job_id, problem.job_number, problem.problem AS reason,
       problem.first_marked_at AS since, problem.last_tried_at
FROM calendar_sync.users_calendar AS used
JOIN calendar_sync.job_problem AS problem USING (tenant_id, calendar_id)
WHERE used.tenant_id = %(tenant_id)s AND used.user_id = %(user_id)s
ORDER BY problem.first_marked_at, problem.generation
LIMIT %(limit)s
