-- Purpose: how many connections, of any user or tenant, live on a Google account, but for one (NULL: none): to revoke one grant ends
-- all of them. One whose grant is dead has nothing to lose.
-- Index: calendar_connection_account.
SELECT count(*)
FROM calendar_sync.calendar_connection
WHERE account_id = %(account_id)s
  AND connection_id IS DISTINCT FROM %(but_for_connection_id)s::bigint
  AND refresh_token IS NOT NULL
  AND (state <> 'needs_reconnect' OR reconnect_reason IS DISTINCT FROM 'revoked')
