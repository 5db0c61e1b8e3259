-- Purpose: what was applied. Fails where nothing ever was.
SELECT version, checksum FROM calendar_sync.schema_migration ORDER BY version
