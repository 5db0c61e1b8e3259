-- Purpose: give up an event id after a definite refusal and take the next one, before the call that uses it. The old id stays on
-- record unless its event has been seen cancelled. Index: pushed_event_pkey, retired_event_pkey.
WITH retired AS (
    INSERT INTO calendar_sync.retired_event (tenant_id, calendar_id, job_id, event_id)
    SELECT %(tenant_id)s, %(calendar_id)s, %(job_id)s, %(retired_event_id)s
    WHERE NOT %(seen_cancelled)s
    ON CONFLICT DO NOTHING
)
UPDATE calendar_sync.pushed_event
SET event_id = %(event_id)s, id_generation = %(id_generation)s, in_doubt = true, write_sent_by = calendar_sync.now() + make_interval(secs => %(calls_end_in_seconds)s),
    etag = NULL, content_hash = NULL, users_fields = NULL, seen_by = NULL, pushed_at = NULL
WHERE tenant_id = %(tenant_id)s AND calendar_id = %(calendar_id)s AND job_id = %(job_id)s
