-- Purpose: make each job's newest row its state, and mark the jobs that this changed as pending on every calendar that somebody of their
-- tenant has chosen, or is leaving for one that is not filled yet. An older row than the one applied changes nothing.
-- A cancelled job keeps the state that it had; what the cancelling row says is not needed and may be empty.
-- A new row's revision is the hours since 2020: more than that of a row of this job that was deleted long ago had become.
-- A mark already there gets a new generation, so that a push under way cannot take it for answered. One that waits to be retried starts
-- afresh. A live edit goes first (priority 0), also if the job has been waiting as part of a backfill. Every calendar, whatever its filter:
-- whether the job was wanted there before is the pusher's to know.
-- Index: job_pkey, outbox_pkey, calendar_connection_calendar, departure_pkey, pending_push_pkey. Jobs, and then marks, in key order, so that two
-- relays cannot wait for each other. Answers how many jobs were changed, and how many of them were waiting already.
WITH changed AS (
    INSERT INTO calendar_sync.job AS job (tenant_id, job_id, version, revision, cancelled, payload, ends_at, updated_at)
    SELECT outbox.tenant_id, outbox.job_id, outbox.id,
           greatest(floor(extract(epoch FROM calendar_sync.now() - timestamptz '2020-01-01 00:00:00+00') / 3600)::integer, 0),
           newest.cancelled,
           CASE WHEN newest.cancelled THEN '{}'::jsonb ELSE outbox.payload END, newest.ends_at, calendar_sync.now()
    FROM unnest(%(ids)s::bigint[], %(cancelled)s::boolean[], %(ends_at)s::timestamptz[]) AS newest (id, cancelled, ends_at)
    -- The limit has each row looked up by its key, whatever the planner thinks of a table that was empty when it last looked.
    CROSS JOIN LATERAL (SELECT id, tenant_id, job_id, payload FROM calendar_sync.outbox WHERE outbox.id = newest.id LIMIT 1) AS outbox
    ORDER BY outbox.tenant_id, outbox.job_id
    ON CONFLICT (tenant_id, job_id) DO UPDATE
    SET version = excluded.version,
        revision = job.revision + 1,
        cancelled = excluded.cancelled,
        payload = CASE WHEN excluded.cancelled THEN job.payload ELSE excluded.payload END,
        ends_at = CASE WHEN excluded.cancelled THEN job.ends_at ELSE excluded.ends_at END,
        updated_at = excluded.updated_at
    WHERE job.version < excluded.version
    RETURNING job.tenant_id, job.job_id
), marked AS (
    INSERT INTO calendar_sync.pending_push AS pending (tenant_id, calendar_id, job_id, priority, first_marked_at, due_at)
    SELECT chosen.tenant_id, chosen.calendar_id, changed.job_id, 0, calendar_sync.now(),
           calendar_sync.now() + make_interval(secs => %(quiet_seconds)s)
    FROM changed
    JOIN (
        SELECT tenant_id, calendar_id
        FROM calendar_sync.calendar_connection
        WHERE tenant_id = ANY (%(tenant_ids)s::text[])
          AND calendar_id IS NOT NULL
          AND state NOT IN ('not_connected', 'disconnecting')
        UNION
        SELECT tenant_id, calendar_id
        FROM calendar_sync.departure
        WHERE tenant_id = ANY (%(tenant_ids)s::text[]) AND emptying_since IS NULL
    ) AS chosen ON chosen.tenant_id = changed.tenant_id
    ORDER BY chosen.tenant_id, chosen.calendar_id, changed.job_id
    ON CONFLICT (tenant_id, calendar_id, job_id) DO UPDATE
    SET generation = excluded.generation,
        priority = excluded.priority,
        first_marked_at = CASE WHEN pending.attempts > 0 THEN excluded.first_marked_at ELSE pending.first_marked_at END,
        due_at = least(
            excluded.due_at,
            CASE WHEN pending.attempts > 0 THEN excluded.first_marked_at ELSE pending.first_marked_at END
                + make_interval(secs => %(max_wait_seconds)s)
        ),
        attempts = 0,
        problem = NULL
    RETURNING pending.tenant_id, pending.job_id, pending.first_marked_at
)
SELECT (SELECT count(*) FROM changed),
       (SELECT count(DISTINCT (tenant_id, job_id)) FROM marked WHERE first_marked_at < calendar_sync.now())
