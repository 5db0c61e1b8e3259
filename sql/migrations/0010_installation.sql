-- Which installation this database pushes for. A restored or copied database carries the row along and shows a different place, or is
-- used with other settings: then nothing is pushed until `calendar-sync migrate --adopt`.
CREATE TABLE calendar_sync.installation (
    the_one       boolean PRIMARY KEY DEFAULT true CHECK (the_one),
    place         text NOT NULL,          -- calendar_sync.database_place(), when it was recorded
    database_name text NOT NULL,          -- as it was called then, for people to read
    client_id     text,                   -- GOOGLE_OAUTH_CLIENT_ID; this and the next NULL until the first daemon says them
    redirect_uri  text,                   -- GOOGLE_OAUTH_REDIRECT_URI
    since         timestamptz NOT NULL DEFAULT now(),
    CHECK ((client_id IS NULL) = (redirect_uri IS NULL))
);

-- The server's system identifier: another server has another one, its standbys and whoever is promoted the same. The database's oid: one made
-- from a template has another one, one that was renamed the same. The table's oid: a restored dump makes the table anew.
CREATE FUNCTION calendar_sync.database_place() RETURNS text
    LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp
    AS $$
    SELECT concat_ws('/', control.system_identifier, pg_database.oid, 'calendar_sync.installation'::regclass::oid)
    FROM pg_control_system() AS control, pg_database
    WHERE pg_database.datname = current_database()
    $$;
REVOKE ALL ON FUNCTION calendar_sync.database_place() FROM PUBLIC;

-- An upgrade stops nothing: what is here belongs here.
INSERT INTO calendar_sync.installation (place, database_name) VALUES (calendar_sync.database_place(), current_database());
