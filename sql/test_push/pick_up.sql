-- Purpose: which of these rows are test pushes; each is marked on the one calendar that it is for, due at once, unless its user has left it.
-- Index: the unique keys (tenant_id, job_id) and (tenant_id, user_id), pending_push_pkey.
WITH known AS (
    UPDATE calendar_sync.test_push AS test
    SET picked_up_at = coalesce(test.picked_up_at, calendar_sync.now()),
        failure = CASE WHEN here.connection_id IS NULL THEN coalesce(test.failure, %(nobody_there)s) ELSE test.failure END
    FROM unnest(%(tenant_ids)s::text[], %(job_ids)s::text[]) AS row (tenant_id, job_id)
    JOIN calendar_sync.test_push AS asked ON asked.tenant_id = row.tenant_id AND asked.job_id = row.job_id
    LEFT JOIN calendar_sync.calendar_connection AS here
        ON here.tenant_id = asked.tenant_id
        AND here.user_id = asked.user_id
        AND here.calendar_id = asked.calendar_id
        AND here.state = 'active'
    WHERE test.test_push_id = asked.test_push_id
    RETURNING test.tenant_id, test.calendar_id, test.job_id, here.connection_id IS NOT NULL AS possible
), marked AS (
    INSERT INTO calendar_sync.pending_push (tenant_id, calendar_id, job_id, first_marked_at, due_at)
    SELECT tenant_id, calendar_id, job_id, calendar_sync.now(), calendar_sync.now() FROM known WHERE possible
    ON CONFLICT (tenant_id, calendar_id, job_id) DO NOTHING
)
SELECT tenant_id, job_id FROM known
