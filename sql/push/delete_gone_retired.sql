-- Purpose: forget retired ids whose events have been seen gone.
-- Index: retired_event_pkey.
DELETE FROM calendar_sync.retired_event
WHERE tenant_id = %(tenant_id)s AND calendar_id = %(calendar_id)s AND event_id = ANY (%(event_ids)s::text[])
