-- Roles, logins and an empty schema, for a database's administrator; made complete by `logins.py`, and harmless to repeat.
\set ON_ERROR_STOP on
SET search_path = pg_catalog;
SELECT format('CREATE ROLE %I NOLOGIN', role)
FROM unnest(ARRAY['calendar_sync_producer', 'calendar_sync_daemon', 'calendar_sync_web', 'calendar_sync_host']) AS role
WHERE role NOT IN (SELECT rolname FROM pg_roles)
\gexec
SELECT format('CREATE ROLE %I', login)
FROM unnest(ARRAY['calendar_sync_owner', 'calendar_sync', 'calendar_sync_web_app']) AS login
WHERE login NOT IN (SELECT rolname FROM pg_roles)
\gexec
-- The owner of the schema: `calendar-sync migrate` and nothing else. Monitoring shows the age of everybody's transactions.
ALTER ROLE calendar_sync_owner LOGIN PASSWORD :'owner';
GRANT pg_read_all_stats TO calendar_sync_owner;
SELECT format('GRANT CREATE ON DATABASE %I TO calendar_sync_owner', current_database())
\gexec
-- From the first right on, `calendar-sync migrate` gives and renews all others (sql/roles.sql).
CREATE SCHEMA IF NOT EXISTS calendar_sync AUTHORIZATION calendar_sync_owner;
GRANT USAGE ON SCHEMA calendar_sync TO calendar_sync_daemon;
ALTER ROLE calendar_sync LOGIN PASSWORD :'daemon';
GRANT calendar_sync_daemon TO calendar_sync;
ALTER ROLE calendar_sync_web_app LOGIN PASSWORD :'web';
GRANT calendar_sync_web TO calendar_sync_web_app;
