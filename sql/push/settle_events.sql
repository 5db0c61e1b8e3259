-- Purpose: record definite answers: what stands at Google now (content_hash NULL: nothing does). Ends the doubt. Through
-- a connection that was erased meanwhile nobody has seen anything.
-- Index: pushed_event_pkey, calendar_connection_pkey. The jobs are named as a list besides: see settle_done.
WITH seer AS MATERIALIZED (
    SELECT connection_id FROM calendar_sync.calendar_connection WHERE connection_id = ANY (%(seers)s::bigint[])
)
UPDATE calendar_sync.pushed_event AS pushed
SET in_doubt = false, write_sent_by = NULL, unsettled_starts = 0, pushed_at = calendar_sync.now(),
    etag = answer.etag, content_hash = answer.content_hash,
    users_fields = CASE WHEN answer.seen_by = ANY (ARRAY(SELECT connection_id FROM seer)) THEN answer.users_fields END,
    seen_by = CASE WHEN answer.seen_by = ANY (ARRAY(SELECT connection_id FROM seer)) THEN answer.seen_by END
FROM unnest(%(job_ids)s::text[], %(etags)s::text[], %(content_hashes)s::bytea[], %(users_fields)s::text[],
            %(seen_by)s::bigint[])
    AS answer (job_id, etag, content_hash, users_fields, seen_by)
WHERE pushed.tenant_id = %(tenant_id)s AND pushed.calendar_id = %(calendar_id)s AND pushed.job_id = ANY (%(job_ids)s::text[])
  AND pushed.job_id = answer.job_id
