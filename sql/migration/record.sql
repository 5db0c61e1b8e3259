-- Purpose: a migration was applied.
INSERT INTO calendar_sync.schema_migration (version, name, checksum) VALUES (%(version)s, %(name)s, %(checksum)s)
