-- Purpose: the events of ours that calendars may show which a tenant's users, or this one, have ever chosen; and of the calendar, whether somebody
-- else of the tenant uses it now, and whether the grant that it was last used with is dead, or it was found lost.
-- Index: the unique key (tenant_id, user_id), chosen_calendar_connection, pushed_event_pkey.
SELECT pushed.calendar_id, pushed.event_id, theirs.shared, theirs.no_access, theirs.lost
FROM (
    SELECT chosen.calendar_id,
           bool_or(EXISTS (
               SELECT FROM calendar_sync.users_calendar AS other
               WHERE other.tenant_id = %(tenant_id)s AND other.calendar_id = chosen.calendar_id AND other.user_id <> %(user_id)s
           )) AS shared,
           coalesce(bool_or(connection.revocation = 'dead'), false) AS no_access,
           coalesce(bool_or(connection.lost_calendar_id = chosen.calendar_id), false) AS lost
    FROM calendar_sync.calendar_connection AS connection
    JOIN calendar_sync.chosen_calendar AS chosen USING (connection_id)
    WHERE connection.tenant_id = %(tenant_id)s AND (%(user_id)s::text IS NULL OR connection.user_id = %(user_id)s)
    GROUP BY chosen.calendar_id
) AS theirs
JOIN calendar_sync.pushed_event AS pushed ON pushed.tenant_id = %(tenant_id)s AND pushed.calendar_id = theirs.calendar_id
WHERE pushed.content_hash IS NOT NULL OR pushed.in_doubt
