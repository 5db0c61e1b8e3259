-- Purpose: keep a new grant. The same account keeps its calendar and goes on, but a lost calendar stays lost, whatever became of the
-- grant since; a different account has to choose again.
-- Index: the unique key (tenant_id, user_id).
INSERT INTO calendar_sync.calendar_connection AS connection
    (tenant_id, user_id, state, account_id, account_email, scopes, grant_version, refresh_token, access_token,
     access_token_expires_at, connected_at)
VALUES (%(tenant_id)s, %(user_id)s, 'choose_calendar', %(account_id)s, %(account_email)s, %(scopes)s, 1,
        %(refresh_token)s, %(access_token)s, calendar_sync.now() + make_interval(secs => %(expires_in)s),
        calendar_sync.now())
ON CONFLICT (tenant_id, user_id) DO UPDATE
SET state = CASE WHEN connection.account_id IS DISTINCT FROM excluded.account_id OR connection.calendar_id IS NULL
                 THEN 'choose_calendar'
                 WHEN connection.calendar_id = connection.lost_calendar_id THEN 'calendar_lost'
                 ELSE 'active' END,
    calendar_id = CASE WHEN connection.account_id = excluded.account_id THEN connection.calendar_id END,
    calendar_name = CASE WHEN connection.account_id = excluded.account_id THEN connection.calendar_name END,
    reconnect_reason = NULL,
    cooling_until = NULL,
    cooling_reason = NULL,
    cannot_empty = false,
    revocation = NULL,
    events_left = NULL,
    account_id = excluded.account_id,
    account_email = excluded.account_email,
    scopes = excluded.scopes,
    grant_version = connection.grant_version + 1,
    refresh_token = excluded.refresh_token,
    access_token = excluded.access_token,
    access_token_expires_at = excluded.access_token_expires_at,
    connected_at = excluded.connected_at
RETURNING state, calendar_id
