-- Purpose: nothing was sent for these pairs after this moment, which is earlier than their intents had to assume; and what was begun for
-- them has come to an end.
-- Index: pushed_event_pkey.
UPDATE calendar_sync.pushed_event
SET write_sent_by = CASE WHEN write_sent_by IS NOT NULL THEN least(write_sent_by, calendar_sync.now()) END, unsettled_starts = 0
WHERE tenant_id = %(tenant_id)s AND calendar_id = %(calendar_id)s AND job_id = ANY (%(job_ids)s::text[])
  AND (unsettled_starts > 0 OR (in_doubt AND write_sent_by > calendar_sync.now()))
