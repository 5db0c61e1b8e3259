-- Purpose: nothing was sent for these pairs after this moment, which is earlier than their intents had to assume.
-- Index: pushed_event_pkey.
UPDATE calendar_sync.pushed_event
SET write_sent_by = least(write_sent_by, calendar_sync.now())
WHERE tenant_id = %(tenant_id)s AND calendar_id = %(calendar_id)s AND job_id = ANY (%(job_ids)s::text[])
  AND in_doubt AND write_sent_by > calendar_sync.now()
