-- Purpose: departures from calendars where every mark has been answered that was there when the emptying began, or that are lost. Later
-- marks are of those who stay. A removal that Google refuses for good keeps the departure, for its user to see; a disconnect goes on.
-- Index: departure is small; calendar_connection_pkey, pending_push_pkey.
SELECT departure.tenant_id, departure.calendar_id, departure.connection_id
FROM calendar_sync.departure
JOIN calendar_sync.calendar_connection AS connection USING (connection_id)
WHERE departure.lost OR (departure.emptying_since IS NOT NULL AND NOT EXISTS (
    SELECT FROM calendar_sync.pending_push AS pending
    WHERE pending.tenant_id = departure.tenant_id
      AND pending.calendar_id = departure.calendar_id
      AND pending.unanswered_since <= departure.emptying_since
      AND (pending.due_at IS NOT NULL OR connection.state <> 'disconnecting')
))
LIMIT 100
