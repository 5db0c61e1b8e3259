-- Purpose: record definite answers: what stands at Google now (content_hash NULL: nothing does). Ends the doubt. Through
-- a connection that was erased meanwhile nobody has seen anything.
-- Index: pushed_event_pkey, calendar_connection_pkey. Each row is looked up by its whole key: see settle_done. Whoever writes to the pairs
-- of a lane holds the lane, so they stay where they are.
WITH seer AS MATERIALIZED (
    SELECT connection_id FROM calendar_sync.calendar_connection WHERE connection_id = ANY (%(seers)s::bigint[])
), answer AS MATERIALIZED (
    SELECT pair.ctid, answer.etag, answer.content_hash, answer.users_fields, answer.seen_by
    FROM unnest(%(job_ids)s::text[], %(etags)s::text[], %(content_hashes)s::bytea[], %(users_fields)s::text[],
                %(seen_by)s::bigint[])
        AS answer (job_id, etag, content_hash, users_fields, seen_by)
    CROSS JOIN LATERAL (
        SELECT pushed_event.ctid
        FROM calendar_sync.pushed_event
        WHERE tenant_id = %(tenant_id)s AND calendar_id = %(calendar_id)s AND pushed_event.job_id = answer.job_id
        OFFSET 0
    ) AS pair
)
UPDATE calendar_sync.pushed_event AS pushed
SET in_doubt = false, write_sent_by = NULL, unsettled_starts = 0, pushed_at = calendar_sync.now(),
    etag = answer.etag, content_hash = answer.content_hash,
    users_fields = CASE WHEN answer.seen_by = ANY (ARRAY(SELECT connection_id FROM seer)) THEN answer.users_fields END,
    seen_by = CASE WHEN answer.seen_by = ANY (ARRAY(SELECT connection_id FROM seer)) THEN answer.seen_by END
FROM answer
WHERE pushed.ctid = answer.ctid
