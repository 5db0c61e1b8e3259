-- Purpose: erase what is stored about a tenant; how many rows of which table. Refused while one of its grants has not ended.
SELECT name, erased FROM calendar_sync.erase_tenant(%(tenant_id)s)
