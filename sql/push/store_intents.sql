-- Purpose: before any call, put on record which events it may touch: each pair is in doubt until a definite answer is settled.
-- A write that makes an event is dated, at the latest that it may be sent, because one that we gave up waiting for may still arrive
-- at Google within the minute after. That it was begun is counted until something is settled, so that one that never ends is counted too.
-- Index: pushed_event_pkey.
INSERT INTO calendar_sync.pushed_event AS pushed
    (tenant_id, calendar_id, job_id, event_id, id_generation, in_doubt, write_sent_by, unsettled_starts)
SELECT %(tenant_id)s, %(calendar_id)s, intent.job_id, intent.event_id, intent.id_generation, true,
       CASE WHEN intent.present THEN calendar_sync.now() + make_interval(secs => %(calls_end_in_seconds)s) END, 1
FROM unnest(%(job_ids)s::text[], %(event_ids)s::text[], %(id_generations)s::integer[], %(present)s::boolean[])
    AS intent (job_id, event_id, id_generation, present)
ORDER BY intent.job_id
ON CONFLICT (tenant_id, calendar_id, job_id) DO UPDATE
SET in_doubt = true,
    unsettled_starts = least(pushed.unsettled_starts + 1, 1000),
    write_sent_by = coalesce(excluded.write_sent_by, pushed.write_sent_by)
