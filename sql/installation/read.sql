-- Purpose: which installation this database pushes for, and where it really is; and whether it was refilled: its first grants are older than its
-- tables, so they were restored into tables made before, and nobody has adopted that (the record is still the one that its migration made).
-- Index: schema_migration_pkey, calendar_connection_pkey; of either a few rows.
SELECT place, calendar_sync.database_place() AS here, database_name, current_database() AS database_here, client_id, redirect_uri, since,
       coalesce(since = (SELECT applied_at FROM calendar_sync.schema_migration WHERE version = 10), false) AND EXISTS (
           SELECT
           FROM (
               SELECT connected_at FROM calendar_sync.calendar_connection WHERE connected_at IS NOT NULL ORDER BY connection_id LIMIT 20
           ) AS first
           WHERE first.connected_at < (SELECT min(applied_at) FROM calendar_sync.schema_migration)
       ) AS refilled
FROM calendar_sync.installation
