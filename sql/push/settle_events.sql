-- Purpose: record definite answers: what stands at Google now (content_hash NULL: nothing does). Ends the doubt. Through
-- a connection that was erased meanwhile nobody has seen anything.
-- Index: pushed_event_pkey, calendar_connection_pkey. The jobs are named as a list besides: see count_attempts.
UPDATE calendar_sync.pushed_event AS pushed
SET in_doubt = false, write_sent_by = NULL, pushed_at = calendar_sync.now(),
    etag = answer.etag, content_hash = answer.content_hash, users_fields = CASE WHEN seer.connection_id IS NOT NULL THEN answer.users_fields END,
    seen_by = seer.connection_id, html_link = answer.html_link
FROM unnest(%(job_ids)s::text[], %(etags)s::text[], %(content_hashes)s::bytea[], %(users_fields)s::text[],
            %(seen_by)s::bigint[], %(html_links)s::text[])
    AS answer (job_id, etag, content_hash, users_fields, seen_by, html_link)
-- The limit has each looked up by its key, whatever the planner thinks of how many there are.
LEFT JOIN LATERAL (
    SELECT connection_id FROM calendar_sync.calendar_connection WHERE connection_id = answer.seen_by LIMIT 1
) AS seer ON true
WHERE pushed.tenant_id = %(tenant_id)s AND pushed.calendar_id = %(calendar_id)s AND pushed.job_id = ANY (%(job_ids)s::text[])
  AND pushed.job_id = answer.job_id
