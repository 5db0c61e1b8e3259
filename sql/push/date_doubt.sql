-- Purpose: nothing was sent for these pairs after this moment, which is earlier than their intents had to assume; and what was begun for
-- them has come to an end.
-- Index: pushed_event_pkey, each row by its whole key: see settle_events.
UPDATE calendar_sync.pushed_event
SET write_sent_by = CASE WHEN write_sent_by IS NOT NULL THEN least(write_sent_by, calendar_sync.now()) END, unsettled_starts = 0
WHERE ctid = ANY (ARRAY(
    SELECT pair.ctid
    FROM unnest(%(job_ids)s::text[]) AS named (job_id)
    CROSS JOIN LATERAL (
        SELECT pushed_event.ctid
        FROM calendar_sync.pushed_event
        WHERE tenant_id = %(tenant_id)s AND calendar_id = %(calendar_id)s AND pushed_event.job_id = named.job_id
        OFFSET 0
    ) AS pair
))
  AND (unsettled_starts > 0 OR (in_doubt AND write_sent_by > calendar_sync.now()))
