-- Purpose: pairs whose intent was stored, but for which no request was made after all, are as certain as they were before.
-- Index: pushed_event_pkey, each row by its whole key: see settle_events.
UPDATE calendar_sync.pushed_event
SET in_doubt = false, write_sent_by = NULL, unsettled_starts = 0
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
