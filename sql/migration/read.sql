-- Purpose: what was applied.
SELECT version, checksum FROM calendar_sync.schema_migration ORDER BY version
