-- Purpose: which server this is, as whom we are logged in, and what time it is there.
-- Index: none.
SELECT current_setting('server_version_num')::integer AS version_number,
       current_setting('server_version') AS version,
       current_user::text AS role,
       current_database()::text AS database,
       extract(epoch FROM clock_timestamp())::float8 AS clock,
       current_setting('autovacuum')::boolean AND current_setting('track_counts')::boolean AS autovacuum,
       pg_is_in_recovery() AS read_only
