-- Purpose: put back what was not pushed: to be tried again after a while, or parked with the reason (wait NULL). An attempt that was
-- the row's fault is counted. Index: pending_push_pkey. Rows marked anew meanwhile keep their new due time. Each row is looked up by its
-- whole key, and held: see settle_done.
WITH undone AS MATERIALIZED (
    SELECT pending.ctid, undone.wait_seconds, undone.problem, undone.charged
    FROM unnest(%(job_ids)s::text[], %(generations)s::bigint[], %(wait_seconds)s::float8[], %(problems)s::text[],
                %(charged)s::boolean[])
        AS undone (job_id, generation, wait_seconds, problem, charged)
    CROSS JOIN LATERAL (
        SELECT pending_push.ctid
        FROM calendar_sync.pending_push
        WHERE tenant_id = %(tenant_id)s
          AND calendar_id = %(calendar_id)s
          AND pending_push.job_id = undone.job_id
          AND pending_push.generation = undone.generation
        FOR NO KEY UPDATE SKIP LOCKED
    ) AS pending
)
UPDATE calendar_sync.pending_push
SET due_at = calendar_sync.now() + make_interval(secs => undone.wait_seconds),
    problem = undone.problem,
    attempts = pending_push.attempts + CASE WHEN undone.charged THEN 1 ELSE 0 END,
    last_tried_at = CASE WHEN undone.charged THEN calendar_sync.now() ELSE pending_push.last_tried_at END
FROM undone
WHERE pending_push.ctid = undone.ctid
