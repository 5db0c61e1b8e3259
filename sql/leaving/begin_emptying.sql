-- Purpose: from now on a connection no longer wants its jobs in the calendar that it left. After their marks were written.
-- Index: departure_pkey.
UPDATE calendar_sync.departure SET emptying_since = calendar_sync.now()
WHERE tenant_id = %(tenant_id)s AND calendar_id = %(calendar_id)s AND connection_id = %(connection_id)s AND emptying_since IS NULL
