-- Purpose: pairs whose intent was stored, but for which no request was made after all, are as certain as they were before.
-- Index: pushed_event_pkey.
UPDATE calendar_sync.pushed_event
SET in_doubt = false, write_sent_by = NULL, unsettled_starts = 0
WHERE tenant_id = %(tenant_id)s AND calendar_id = %(calendar_id)s AND job_id = ANY (%(job_ids)s::text[])
