-- Purpose: which installation this database pushes for, and where it really is.
-- Index: none; one row.
SELECT place, calendar_sync.database_place() AS here, database_name, current_database() AS database_here, client_id, redirect_uri, since
FROM calendar_sync.installation
