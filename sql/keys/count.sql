-- Purpose: how many rows there are to look at, for the progress.
-- Index: none; both tables are read as a whole afterwards.
SELECT (SELECT count(*) FROM calendar_sync.calendar_connection) + (SELECT count(*) FROM calendar_sync.abandoned_grant)
