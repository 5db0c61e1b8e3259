-- What row-level security of the web app's role needs (sql/roles.sql switches it on): who sees every tenant, views that show one tenant's rows, and
-- the one question about all tenants that the web app has to ask.

-- A view reads with its owner's rights, and the owner is subject to no policy: so the views that the web app reads ask by themselves. Whoever may
-- read the outbox sees every tenant's jobs anyway: the daemon, and the owner.
CREATE FUNCTION calendar_sync.sees_every_tenant() RETURNS boolean
    LANGUAGE sql STABLE PARALLEL SAFE
    AS $$ SELECT has_table_privilege('calendar_sync.outbox'::regclass, 'SELECT') $$;

-- Web workers of the release before this one say nothing of whom they act for. Where such may be running they go on as before; the release after
-- this one takes that back.
DO $$
BEGIN
    IF EXISTS (
        SELECT FROM pg_namespace, aclexplode(nspacl) AS acl JOIN pg_roles AS grantee ON grantee.oid = acl.grantee
        WHERE nspname = 'calendar_sync' AND rolname = 'calendar_sync_web'
    ) THEN
        CREATE FUNCTION calendar_sync.is_of_the_previous_release() RETURNS boolean
            LANGUAGE sql STABLE PARALLEL SAFE
            AS $f$
            SELECT current_setting('calendar_sync.tenant_id', true) IS NULL
               AND current_setting('application_name') = 'calendar-sync web'
            $f$;
        CREATE OR REPLACE FUNCTION calendar_sync.sees_every_tenant() RETURNS boolean
            LANGUAGE sql STABLE PARALLEL SAFE
            AS $f$
            SELECT has_table_privilege('calendar_sync.outbox'::regclass, 'SELECT') OR calendar_sync.is_of_the_previous_release()
            $f$;
    END IF;
END
$$;

-- ---------------------------------------------------------------------------------------------------------------
CREATE OR REPLACE VIEW calendar_sync.users_calendar AS
SELECT tenant_id, user_id, calendar_id
FROM calendar_sync.calendar_connection
WHERE calendar_id IS NOT NULL
  AND ((SELECT calendar_sync.sees_every_tenant()) OR tenant_id = current_setting('calendar_sync.tenant_id', true))
UNION
SELECT connection.tenant_id, connection.user_id, departure.calendar_id
FROM calendar_sync.departure
JOIN calendar_sync.calendar_connection AS connection
    ON connection.connection_id = departure.connection_id AND connection.tenant_id = departure.tenant_id
WHERE (SELECT calendar_sync.sees_every_tenant()) OR connection.tenant_id = current_setting('calendar_sync.tenant_id', true);

-- Who has chosen a calendar and stays there: all that the web app sees of a user's colleagues.
CREATE VIEW calendar_sync.staying_user AS
SELECT tenant_id, calendar_id, user_id, connection_id
FROM calendar_sync.calendar_connection
WHERE calendar_id IS NOT NULL
  AND state NOT IN ('not_connected', 'disconnecting')
  AND ((SELECT calendar_sync.sees_every_tenant()) OR tenant_id = current_setting('calendar_sync.tenant_id', true));

CREATE OR REPLACE VIEW calendar_sync.job_problem AS
SELECT pending.tenant_id, pending.calendar_id, pending.generation, pending.job_id, job.payload ->> 'job_number' AS job_number,
       pending.problem, pending.first_marked_at, pending.last_tried_at
FROM calendar_sync.pending_push AS pending
LEFT JOIN calendar_sync.job ON job.tenant_id = pending.tenant_id AND job.job_id = pending.job_id
WHERE pending.problem IS NOT NULL
  AND ((SELECT calendar_sync.sees_every_tenant()) OR pending.tenant_id = current_setting('calendar_sync.tenant_id', true));

CREATE OR REPLACE VIEW calendar_sync.lane_due AS
SELECT lane.tenant_id, lane.calendar_id,
       greatest(
           least(pending.live_from,
                 CASE WHEN pending.backlog_from IS NOT NULL
                      THEN greatest(pending.backlog_from, lane.backlog_not_before) END),
           lane.not_before
       ) AS due_at,
       CASE WHEN pending.live_from IS NOT NULL THEN greatest(pending.live_from, lane.not_before) END AS live_due_at,
       pending.live_from, pending.backlog_from
FROM calendar_sync.lane
CROSS JOIN LATERAL (
    SELECT (
        SELECT min(live.due_at)
        FROM calendar_sync.pending_push AS live
        WHERE live.tenant_id = lane.tenant_id AND live.calendar_id = lane.calendar_id
          AND live.priority = 0 AND live.due_at IS NOT NULL
    ) AS live_from, least((
        SELECT min(backfill.due_at)
        FROM calendar_sync.pending_push AS backfill
        WHERE backfill.tenant_id = lane.tenant_id AND backfill.calendar_id = lane.calendar_id
          AND backfill.priority = 1 AND backfill.due_at IS NOT NULL
    ), (
        SELECT min(clean_up.due_at)
        FROM calendar_sync.pending_push AS clean_up
        WHERE clean_up.tenant_id = lane.tenant_id AND clean_up.calendar_id = lane.calendar_id
          AND clean_up.priority = 2 AND clean_up.due_at IS NOT NULL
    )) AS backlog_from
) AS pending
WHERE (pending.live_from IS NOT NULL OR pending.backlog_from IS NOT NULL)
  AND EXISTS (
    SELECT FROM calendar_sync.calendar_writer
    WHERE calendar_writer.tenant_id = lane.tenant_id AND calendar_writer.calendar_id = lane.calendar_id
)
  AND ((SELECT calendar_sync.sees_every_tenant()) OR lane.tenant_id = current_setting('calendar_sync.tenant_id', true));

-- ---------------------------------------------------------------------------------------------------------------
-- How many connections, of any user or tenant, live on a Google account, but for one (NULL: none). With the owner's rights: the web app asks it
-- before it revokes a grant, and learns a number.
CREATE FUNCTION calendar_sync.count_sharers(of_account text, but_for bigint) RETURNS bigint
    LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
    AS $$
    -- One whose grant is dead has nothing to lose.
    SELECT count(*)
    FROM calendar_sync.calendar_connection
    WHERE account_id = of_account
      AND connection_id IS DISTINCT FROM but_for
      AND refresh_token IS NOT NULL
      AND (state <> 'needs_reconnect' OR reconnect_reason IS DISTINCT FROM 'revoked')
    $$;
REVOKE ALL ON FUNCTION calendar_sync.count_sharers(text, bigint) FROM PUBLIC;
