-- Roles with the least that each needs. Run by an administrator after the first `calendar-sync migrate`; harmless to repeat:
--     psql --single-transaction --set=ON_ERROR_STOP=1 "$ADMIN_URL" -f sql/roles.sql
-- From then on `calendar-sync migrate` runs it, so that the rights grow with the schema.
-- They cannot log in: grant them to the login roles of your services.

-- Whoever may create functions in a schema on the usual path would else have an administrator run them.
SET search_path = pg_catalog, pg_temp;

DO $$
DECLARE
    name text;
BEGIN
    FOREACH name IN ARRAY ARRAY['calendar_sync_producer', 'calendar_sync_daemon', 'calendar_sync_web',
                                'calendar_sync_host'] LOOP
        IF NOT EXISTS (SELECT FROM pg_catalog.pg_roles WHERE rolname = name) THEN
            BEGIN
                EXECUTE format('CREATE ROLE %I NOLOGIN', name);
            EXCEPTION WHEN duplicate_object OR unique_violation THEN
                NULL; -- roles belong to the whole server: it was made for another database at this very moment
            END;
        END IF;
    END LOOP;
END $$;

REVOKE ALL ON SCHEMA calendar_sync FROM PUBLIC;
REVOKE ALL ON ALL TABLES IN SCHEMA calendar_sync FROM PUBLIC;
REVOKE ALL ON ALL FUNCTIONS IN SCHEMA calendar_sync FROM PUBLIC;
GRANT USAGE ON SCHEMA calendar_sync
    TO calendar_sync_producer, calendar_sync_daemon, calendar_sync_web, calendar_sync_host;

-- The jobs service: one table, one verb. The trigger runs as the inserter, so it may be executed too.
-- No id of its own choosing: a row from the future would make every later row of its job an older one.
GRANT INSERT (tenant_id, job_id, event_type, payload) ON calendar_sync.outbox TO calendar_sync_producer;
GRANT EXECUTE ON FUNCTION calendar_sync.notify_outbox() TO calendar_sync_producer, calendar_sync_daemon;

-- The daemon moves rows along the road and changes nothing of the schema. It makes no connections and chooses no calendars.
GRANT EXECUTE ON FUNCTION calendar_sync.now() TO calendar_sync_daemon, calendar_sync_web;
GRANT USAGE ON SEQUENCE calendar_sync.mark_generation TO calendar_sync_daemon, calendar_sync_web;
-- UPDATE on the outbox is what locking its rows takes; INSERT is for rejected rows that are put back.
GRANT SELECT, INSERT, UPDATE, DELETE ON calendar_sync.outbox TO calendar_sync_daemon;
GRANT SELECT, INSERT, DELETE ON calendar_sync.rejected_event TO calendar_sync_daemon;
GRANT SELECT, INSERT, UPDATE, DELETE ON
    calendar_sync.job, calendar_sync.pending_push, calendar_sync.pushed_event, calendar_sync.retired_event
    TO calendar_sync_daemon;
GRANT SELECT, UPDATE ON calendar_sync.lane TO calendar_sync_daemon;
GRANT SELECT ON calendar_sync.calendar_connection, calendar_sync.lane_due, calendar_sync.schema_migration
    TO calendar_sync_daemon;
-- Whether this database is where it was recorded; the first daemon says for which settings. Who takes a copy over is the owner's matter.
GRANT SELECT ON calendar_sync.installation TO calendar_sync_daemon, calendar_sync_web;
GRANT UPDATE (client_id, redirect_uri) ON calendar_sync.installation TO calendar_sync_daemon;
GRANT EXECUTE ON FUNCTION calendar_sync.database_place() TO calendar_sync_daemon, calendar_sync_web;
GRANT SELECT ON calendar_sync.calendar_writer TO calendar_sync_daemon;
REVOKE SELECT ON calendar_sync.calendar_writer FROM calendar_sync_web; -- had it once, and never read it
GRANT SELECT ON calendar_sync.users_calendar, calendar_sync.staying_user TO calendar_sync_daemon, calendar_sync_web;
GRANT EXECUTE ON FUNCTION calendar_sync.sees_every_tenant(), calendar_sync.count_sharers(text, bigint)
    TO calendar_sync_daemon, calendar_sync_web;
-- What Google's answers change.
GRANT UPDATE (state, reconnect_reason, cannot_empty, refresh_token, access_token, access_token_expires_at, cooling_until,
              cooling_reason, lost_calendar_id)
    ON calendar_sync.calendar_connection TO calendar_sync_daemon;
GRANT EXECUTE ON FUNCTION calendar_sync.clear_grant(bigint, bigint, text, integer)
    TO calendar_sync_daemon, calendar_sync_web;
GRANT SELECT, UPDATE (emptying_since, total, lost), DELETE ON calendar_sync.departure TO calendar_sync_daemon;
GRANT SELECT, UPDATE (refresh_token), DELETE ON calendar_sync.abandoned_grant TO calendar_sync_daemon;
GRANT SELECT, UPDATE (picked_up_at, access_at, written_at, read_back_at, removed_at, failure), DELETE
    ON calendar_sync.test_push TO calendar_sync_daemon;
-- It reminds of what stays broken, and puts off what it renews; what broke or works again is written by a trigger.
GRANT SELECT, UPDATE (remind_at) ON calendar_sync.outage TO calendar_sync_daemon;
GRANT EXECUTE ON FUNCTION calendar_sync.next_reminder(timestamptz) TO calendar_sync_daemon;
GRANT SELECT (id, created_at), INSERT (tenant_id, user_id, kind, reason), DELETE
    ON calendar_sync.notification TO calendar_sync_daemon;
GRANT SELECT, UPDATE (due_at) ON calendar_sync.token_refresh TO calendar_sync_daemon;
-- It forgets users and tenants: disconnects them, and erases those whose grants have ended, all of theirs or nothing; so it has to know whose
-- calendars are whose.
GRANT EXECUTE ON FUNCTION calendar_sync.begin_disconnect(text, text) TO calendar_sync_daemon, calendar_sync_web;
GRANT SELECT ON calendar_sync.chosen_calendar TO calendar_sync_daemon;
-- Their feeds go first; of one it sees whose it is.
GRANT SELECT (tenant_id, user_id), DELETE ON calendar_sync.calendar_feed TO calendar_sync_daemon;
GRANT EXECUTE ON FUNCTION calendar_sync.erase_user(text, text), calendar_sync.erase_tenant(text) TO calendar_sync_daemon;
-- Numbers for monitoring: of the tables, and of others' sessions no more than an age.
GRANT SELECT ON calendar_sync.figures TO calendar_sync_daemon, calendar_sync_web;
GRANT EXECUTE ON FUNCTION calendar_sync.oldest_transaction_seconds() TO calendar_sync_daemon, calendar_sync_web;
-- What is used of Google's quotas, and by whom it is counted.
GRANT SELECT, INSERT, UPDATE, DELETE ON calendar_sync.quota, calendar_sync.request_hour TO calendar_sync_daemon;
GRANT SELECT, INSERT, UPDATE ON calendar_sync.quota, calendar_sync.request_hour TO calendar_sync_web;
-- To forget what is old: the columns that tell it, and no verifier.
GRANT SELECT (state_hash, expires_at), DELETE ON calendar_sync.consent_attempt TO calendar_sync_daemon;
GRANT SELECT (bucket, refilled_at), DELETE ON calendar_sync.rate_limit TO calendar_sync_daemon;

-- The web app keeps grants and choices, and marks what they change. It sees no payload: of a job that could not be pushed
-- the number, through a view, and of the jobs of a feed what their events say.
GRANT SELECT, INSERT, UPDATE ON calendar_sync.calendar_connection TO calendar_sync_web;
GRANT SELECT, INSERT, UPDATE, DELETE ON calendar_sync.pending_push, calendar_sync.departure TO calendar_sync_web;
GRANT INSERT (tenant_id, user_id, account_id, refresh_token) ON calendar_sync.abandoned_grant TO calendar_sync_web;
-- Not the lease: whoever could write it could be a second writer to a calendar.
GRANT SELECT, INSERT (tenant_id, calendar_id),
      UPDATE (due_at, live_due_at, not_before, backlog_not_before, failures, filling_since, filling_total)
    ON calendar_sync.lane TO calendar_sync_web;
GRANT SELECT (tenant_id, calendar_id, job_id, content_hash, in_doubt), UPDATE (in_doubt) ON calendar_sync.pushed_event
    TO calendar_sync_web;
GRANT SELECT (tenant_id, job_id, cancelled, ends_at) ON calendar_sync.job TO calendar_sync_web;
GRANT SELECT ON calendar_sync.lane_due, calendar_sync.job_problem, calendar_sync.schema_migration TO calendar_sync_web;
-- A test push goes through the outbox, like a job; no job of its own making does.
GRANT SELECT, INSERT, UPDATE (failure) ON calendar_sync.test_push TO calendar_sync_web;
GRANT EXECUTE ON FUNCTION calendar_sync.enqueue_test_push(uuid) TO calendar_sync_web;
GRANT SELECT, INSERT, UPDATE (taken_at, outcome) ON calendar_sync.consent_attempt TO calendar_sync_web;
GRANT SELECT, INSERT, UPDATE ON calendar_sync.rate_limit TO calendar_sync_web;
-- Feeds are made and ended here; what one shows is read through two functions that know it by its token's hash, and tell of a job what its event is
-- made of. Whoever has this role could make a feed for any user, so what the functions leave out is what it cannot read: crews, assignments and all
-- that we do not know. No feed moves to another user.
GRANT SELECT, INSERT (tenant_id, user_id, token_hash, job_filter),
    UPDATE (token_hash, job_filter, created_at, last_fetched_at), DELETE ON calendar_sync.calendar_feed TO calendar_sync_web;
GRANT EXECUTE ON FUNCTION calendar_sync.visit_feed(bytea), calendar_sync.feed_jobs(bytea, timestamptz) TO calendar_sync_web;

-- The host app reads what is worth telling its users, and nothing else.
GRANT SELECT ON calendar_sync.notification TO calendar_sync_host;

-- ---------------------------------------------------------------------------------------------------------------
-- Row-level security: the web app's sessions say for whom they act (outbox/acting.py), and whatever a statement asks for, they see and touch
-- nothing of anybody else; without a word, nothing at all. What users of one tenant share is the tenant's: its lanes, and which jobs stand or wait
-- there. (What belongs to nobody, schema_migration and request_hour, is open.) The daemon is everybody's, and the owner is subject to no policy.
DO $$
DECLARE
    of_tenant CONSTANT text := $c$tenant_id = current_setting('calendar_sync.tenant_id', true)$c$;
    of_user   CONSTANT text := of_tenant || $c$ AND user_id = current_setting('calendar_sync.user_id', true)$c$;
    presented CONSTANT text := $c$ = current_setting('calendar_sync.presented', true)$c$;
    rules     CONSTANT jsonb := jsonb_build_object(
        'abandoned_grant', of_user,
        'calendar_connection', of_user,
        -- A visitor without a session knows the row by the hash of a secret.
        'calendar_feed', of_user || $c$ OR encode(token_hash, 'hex')$c$ || presented,
        'consent_attempt', of_user || $c$ OR encode(state_hash, 'hex')$c$ || presented,
        'departure', of_tenant || $c$ AND EXISTS (
            SELECT FROM calendar_sync.calendar_connection AS connection
            WHERE connection.connection_id = departure.connection_id
              AND connection.user_id = current_setting('calendar_sync.user_id', true)
        )$c$,
        'job', of_tenant,
        'lane', of_tenant,
        'pending_push', of_tenant,
        'pushed_event', of_tenant,
        'quota', $c$scope = 'project' OR scope$c$ || presented,
        'rate_limit', $c$encode(bucket, 'hex')$c$ || presented,
        'test_push', of_user
    );
    held      text;
    -- Without a word, in a database that was upgraded (migration 11): a web worker of the release before.
    former    CONSTANT boolean := to_regprocedure('calendar_sync.is_of_the_previous_release()') IS NOT NULL;
    -- Which rules a policy was made by, as its comment; so that other rules replace it, and those of others stay.
    made_by   CONSTANT text := 'sql/roles.sql ' || md5(rules::text || former);
    fenced    text;
BEGIN
    IF (SELECT bool_and(relrowsecurity AND 2 = (
            SELECT count(*) FROM pg_policy WHERE polrelid = pg_class.oid AND obj_description(pg_policy.oid, 'pg_policy') = made_by
        ))
        FROM jsonb_object_keys(rules) AS name JOIN pg_class ON pg_class.oid = to_regclass('calendar_sync.' || name)) THEN
        RETURN; -- as it should be, so that nobody is held up
    END IF;
    SELECT string_agg('calendar_sync.' || name, ', ') INTO held FROM jsonb_object_keys(rules) AS name;
    -- All tables at once or none, so that this and a push never wait for each other; and nobody waits for long.
    FOR attempt IN 1..300 LOOP
        BEGIN
            SET LOCAL lock_timeout = '100ms';
            EXECUTE 'LOCK TABLE ' || held || ' IN ACCESS EXCLUSIVE MODE';
            EXIT;
        EXCEPTION WHEN lock_not_available THEN
            IF attempt = 300 THEN
                RAISE;
            END IF;
            PERFORM pg_sleep(0.2);
        END;
    END LOOP;
    FOR fenced IN SELECT jsonb_object_keys(rules) LOOP
        EXECUTE format('DROP POLICY IF EXISTS of_whom_the_web_app_acts_for ON calendar_sync.%I', fenced);
        EXECUTE format('DROP POLICY IF EXISTS of_the_daemon ON calendar_sync.%I', fenced);
        EXECUTE format('CREATE POLICY of_whom_the_web_app_acts_for ON calendar_sync.%I TO calendar_sync_web USING (%s)',
                       fenced, rules ->> fenced || CASE WHEN former THEN ' OR calendar_sync.is_of_the_previous_release()' ELSE '' END);
        EXECUTE format('CREATE POLICY of_the_daemon ON calendar_sync.%I TO calendar_sync_daemon USING (true)', fenced);
        EXECUTE format('COMMENT ON POLICY of_whom_the_web_app_acts_for ON calendar_sync.%I IS %L', fenced, made_by);
        EXECUTE format('COMMENT ON POLICY of_the_daemon ON calendar_sync.%I IS %L', fenced, made_by);
        EXECUTE format('ALTER TABLE calendar_sync.%I ENABLE ROW LEVEL SECURITY', fenced);
    END LOOP;
END $$;
DO $$
BEGIN
    IF to_regprocedure('calendar_sync.is_of_the_previous_release()') IS NOT NULL THEN
        GRANT EXECUTE ON FUNCTION calendar_sync.is_of_the_previous_release() TO calendar_sync_daemon, calendar_sync_web;
    END IF;
END $$;

RESET search_path;
