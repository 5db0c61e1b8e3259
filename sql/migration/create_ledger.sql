-- Purpose: the schema, and the list of what was applied to it.
CREATE SCHEMA IF NOT EXISTS calendar_sync;
CREATE TABLE IF NOT EXISTS calendar_sync.schema_migration (
    version    integer PRIMARY KEY,
    name       text NOT NULL,
    checksum   text NOT NULL,
    applied_at timestamptz NOT NULL DEFAULT now()
)
