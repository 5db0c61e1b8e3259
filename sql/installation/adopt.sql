-- Purpose: from now on this database, where it is, pushes for this installation.
-- Index: installation_pkey.
INSERT INTO calendar_sync.installation (place, database_name, client_id, redirect_uri)
VALUES (calendar_sync.database_place(), current_database(), %(client_id)s, %(redirect_uri)s)
ON CONFLICT (the_one) DO UPDATE
SET place = excluded.place, database_name = excluded.database_name, client_id = excluded.client_id, redirect_uri = excluded.redirect_uri,
    since = excluded.since
