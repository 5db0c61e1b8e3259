-- Purpose: what became of the grants of a tenant's users, or of this one.
-- Index: the unique key (tenant_id, user_id).
SELECT user_id, revocation
FROM calendar_sync.calendar_connection
WHERE tenant_id = %(tenant_id)s AND (%(user_id)s::text IS NULL OR user_id = %(user_id)s) AND revocation IS NOT NULL
