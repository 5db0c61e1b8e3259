-- Purpose: a user connects another Google account: the former grant is to be revoked.
-- Index: the unique key (tenant_id, user_id).
INSERT INTO calendar_sync.abandoned_grant (tenant_id, user_id, account_id, refresh_token)
SELECT tenant_id, user_id, account_id, refresh_token
FROM calendar_sync.calendar_connection
WHERE tenant_id = %(tenant_id)s AND user_id = %(user_id)s AND refresh_token IS NOT NULL AND account_id IS NOT NULL
  AND account_id <> %(account_id)s
