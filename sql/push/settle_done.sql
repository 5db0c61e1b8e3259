-- Purpose: remove the marks that were answered, each only at the generation that was read before the push.
-- Index: pending_push_pkey. Rows held by a relay are being marked anew and must stay: they are skipped, because waiting for a
-- relay that waits for this lane would be a deadlock. Each row is looked up by its whole key, so that this costs the same whatever waits
-- and whatever the planner knows of a table that has just grown. Rows that are held stay where they are.
WITH done AS MATERIALIZED (
    SELECT pending.ctid
    FROM unnest(%(job_ids)s::text[], %(generations)s::bigint[]) AS done (job_id, generation)
    CROSS JOIN LATERAL (
        SELECT pending_push.ctid
        FROM calendar_sync.pending_push
        WHERE tenant_id = %(tenant_id)s
          AND calendar_id = %(calendar_id)s
          AND pending_push.job_id = done.job_id
          AND pending_push.generation = done.generation
        FOR UPDATE SKIP LOCKED
    ) AS pending
)
DELETE FROM calendar_sync.pending_push WHERE ctid = ANY (ARRAY(SELECT ctid FROM done))
