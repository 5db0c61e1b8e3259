-- Purpose: count an attempt when it starts, so that one that never ends is counted too.
-- Index: pending_push_pkey. Rows held by a relay are being marked anew and start again from zero: they are skipped, because
-- waiting for a relay that waits for this lane would be a deadlock. The jobs are named as a list besides, and their rows looked for
-- once, so that this costs the same whatever waits and whatever the planner knows of a table that has just grown.
WITH started AS MATERIALIZED (
    SELECT pending.job_id
    FROM calendar_sync.pending_push AS pending
    JOIN unnest(%(job_ids)s::text[], %(generations)s::bigint[]) AS started (job_id, generation)
        ON started.job_id = pending.job_id AND started.generation = pending.generation
    WHERE pending.tenant_id = %(tenant_id)s
      AND pending.calendar_id = %(calendar_id)s
      AND pending.job_id = ANY (%(job_ids)s::text[])
    FOR NO KEY UPDATE OF pending SKIP LOCKED
)
UPDATE calendar_sync.pending_push
SET attempts = attempts + 1
FROM started
WHERE pending_push.tenant_id = %(tenant_id)s
  AND pending_push.calendar_id = %(calendar_id)s
  AND pending_push.job_id = ANY (%(job_ids)s::text[])
  AND pending_push.job_id = started.job_id
