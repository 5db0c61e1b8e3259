-- Purpose: how many jobs are still to be looked at in the calendars that a tenant's users, or this one, have emptied: of those marked when it
-- began. What colleagues there change meanwhile is not waited for; test pushes are no events that are to go.
-- Index: the unique key (tenant_id, user_id), departure_connection, pending_push_pkey.
SELECT coalesce(sum(waiting.jobs), 0)::bigint
FROM (
    SELECT departure.tenant_id, departure.calendar_id, max(departure.emptying_since) AS since
    FROM calendar_sync.calendar_connection AS connection
    JOIN calendar_sync.departure USING (connection_id)
    WHERE connection.tenant_id = %(tenant_id)s AND (%(user_id)s::text IS NULL OR connection.user_id = %(user_id)s)
      AND NOT departure.lost
    GROUP BY departure.tenant_id, departure.calendar_id
) AS emptied
CROSS JOIN LATERAL (
    SELECT count(*) AS jobs FROM calendar_sync.pending_push AS pending
    WHERE pending.tenant_id = emptied.tenant_id AND pending.calendar_id = emptied.calendar_id
      AND pending.due_at IS NOT NULL AND pending.unanswered_since <= emptied.since
      AND NOT starts_with(pending.job_id, 'calendar-sync-test:')
) AS waiting
