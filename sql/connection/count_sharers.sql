-- Purpose: how many connections, of any user or tenant, live on a Google account, but for one (NULL: none): to revoke one grant ends
-- all of them.
-- Index: calendar_connection_account.
SELECT calendar_sync.count_sharers(%(account_id)s, %(but_for_connection_id)s::bigint)
