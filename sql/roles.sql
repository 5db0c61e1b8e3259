-- Roles with the least that each needs. Run by an administrator after the first `calendar-sync migrate`; harmless to repeat:
--     psql "$ADMIN_URL" -f sql/roles.sql
-- From then on `calendar-sync migrate` runs it, so that the rights grow with the schema.
-- They cannot log in: grant them to the login roles of your services.
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
GRANT SELECT ON calendar_sync.calendar_writer, calendar_sync.users_calendar TO calendar_sync_daemon, calendar_sync_web;
-- What Google's answers change.
GRANT UPDATE (state, reconnect_reason, cannot_empty, refresh_token, access_token, access_token_expires_at, cooling_until,
              cooling_reason, lost_calendar_id)
    ON calendar_sync.calendar_connection TO calendar_sync_daemon;
GRANT EXECUTE ON FUNCTION calendar_sync.clear_grant(bigint, bigint, text, integer)
    TO calendar_sync_daemon, calendar_sync_web;
GRANT SELECT, UPDATE (emptying_since, total, lost), DELETE ON calendar_sync.departure TO calendar_sync_daemon;
GRANT SELECT, DELETE ON calendar_sync.abandoned_grant TO calendar_sync_daemon;
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
