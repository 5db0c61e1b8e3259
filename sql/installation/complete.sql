-- Purpose: the first daemon says with which settings it pushes. Writes nothing if somebody has, or if the database is not where it was recorded.
-- Index: none; one row.
UPDATE calendar_sync.installation SET client_id = %(client_id)s, redirect_uri = %(redirect_uri)s
WHERE client_id IS NULL AND place = calendar_sync.database_place()
