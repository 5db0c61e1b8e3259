-- Purpose: those of a tenant, or this one user, whose grant has not ended: with which account, whether their events are being removed at this
-- moment, and whether nothing more can be removed with it.
-- Index: the unique key (tenant_id, user_id).
SELECT user_id, account_id, state = 'disconnecting' AND NOT cannot_empty AS emptying, cannot_empty
FROM calendar_sync.calendar_connection
WHERE tenant_id = %(tenant_id)s
  AND (%(user_id)s::text IS NULL OR user_id = %(user_id)s)
  AND refresh_token IS NOT NULL
ORDER BY user_id
