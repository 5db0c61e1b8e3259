-- Purpose: trust nothing of what is on record for this calendar: the next push of each event writes it again or looks at it.
-- Index: pushed_event_pkey.
UPDATE calendar_sync.pushed_event SET in_doubt = true
WHERE tenant_id = %(tenant_id)s AND calendar_id = %(calendar_id)s AND content_hash IS NOT NULL AND NOT in_doubt
