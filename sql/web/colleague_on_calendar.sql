-- Purpose: whether somebody else of the tenant stays in this user's calendar if the user leaves: in the chosen one, or where none is
-- chosen in one that is being left.
-- Index: the unique key (tenant_id, user_id), departure_connection, calendar_connection_calendar.
SELECT EXISTS (
    SELECT
    FROM calendar_sync.calendar_connection AS leaving
    JOIN calendar_sync.staying_user AS staying USING (tenant_id)
    WHERE leaving.tenant_id = %(tenant_id)s
      AND leaving.user_id = %(user_id)s
      AND staying.user_id <> leaving.user_id
      AND (staying.calendar_id = leaving.calendar_id
           OR (leaving.calendar_id IS NULL AND staying.calendar_id IN (
               SELECT departure.calendar_id FROM calendar_sync.departure
               WHERE departure.connection_id = leaving.connection_id
           )))
)
