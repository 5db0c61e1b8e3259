-- Purpose: remove the marks that were answered, each only at the generation that was read before the push.
-- Index: pending_push_pkey. Rows held by a relay are being marked anew and must stay: they are skipped, because waiting for a
-- relay that waits for this lane would be a deadlock. The jobs are named as a list besides, so that each row is looked for once and this costs
-- the same whatever waits and whatever the planner knows of a table that has just grown. Rows that are held stay where they are.
WITH done AS MATERIALIZED (
    SELECT pending.ctid
    FROM calendar_sync.pending_push AS pending
    JOIN unnest(%(job_ids)s::text[], %(generations)s::bigint[]) AS done (job_id, generation)
        ON done.job_id = pending.job_id AND done.generation = pending.generation
    WHERE pending.tenant_id = %(tenant_id)s
      AND pending.calendar_id = %(calendar_id)s
      AND pending.job_id = ANY (%(job_ids)s::text[])
    FOR UPDATE OF pending SKIP LOCKED
)
DELETE FROM calendar_sync.pending_push WHERE ctid = ANY (ARRAY(SELECT ctid FROM done))
