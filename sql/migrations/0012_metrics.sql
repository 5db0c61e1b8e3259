-- What monitoring asks, of all tenants together and at a cost that does not grow with what waits.

-- Only the few rows that are parked are in it: counting them must not read a million that wait.
CREATE INDEX pending_push_problem ON calendar_sync.pending_push (tenant_id, calendar_id) WHERE problem IS NOT NULL;

-- How old the oldest transaction is that keeps dead rows of this database from being cleaned up; 0 if there is none, NULL if the owner of this
-- function may not look. With the owner's rights, so that the services' roles learn a number and no text of anybody's queries.
-- A vacuum holds nothing up. Replication slots and standbys can, and have no age: docs/runbooks/database-trouble.md.
CREATE FUNCTION calendar_sync.oldest_transaction_seconds() RETURNS double precision
    LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
    AS $$
    SELECT CASE WHEN pg_has_role(current_user, 'pg_read_all_stats', 'USAGE') THEN greatest(extract(epoch FROM clock_timestamp() - least(
        (SELECT min(xact_start)
         FROM pg_stat_activity
         WHERE datname = current_database() AND pid <> pg_backend_pid() AND (backend_xid IS NOT NULL OR backend_xmin IS NOT NULL)
           AND pid NOT IN (SELECT pid FROM pg_stat_progress_vacuum)),
        (SELECT min(prepared) FROM pg_prepared_xacts WHERE database = current_database()),
        clock_timestamp()
    )), 0)::float8 END
    $$;
REVOKE ALL ON FUNCTION calendar_sync.oldest_transaction_seconds() FROM PUBLIC;

-- One row. Counts are exact up to 10,000; above that those of whole tables are what Postgres keeps in its statistics, usually within a few
-- percent (more for a minute, where a bulk load is analysed amid it), and that of the problems stays at 10,001. A view reads with its owner's rights: whoever may read it needs none to the tables.
CREATE VIEW calendar_sync.figures AS
SELECT
    CASE WHEN outbox.rows <= 10000 THEN outbox.rows
         ELSE greatest(outbox.rows, pg_stat_get_live_tuples('calendar_sync.outbox'::regclass)) END AS outbox_rows,
    -- Of the row with the lowest id: no older one waits but by a moment.
    coalesce((SELECT greatest(extract(epoch FROM calendar_sync.now() - created_at), 0) FROM calendar_sync.outbox ORDER BY id LIMIT 1), 0)::float8
        AS outbox_oldest_seconds,
    CASE WHEN pending.rows <= 10000 THEN pending.rows
         ELSE greatest(pending.rows, pg_stat_get_live_tuples('calendar_sync.pending_push'::regclass)) END AS pending_pushes,
    -- The first entry of each half of lane_free, and the few lanes that somebody has leased.
    coalesce(greatest(extract(epoch FROM calendar_sync.now() - least(
        (SELECT min(due_at) FROM calendar_sync.lane WHERE lease_token IS NULL AND least(failures, 1) = 0),
        (SELECT min(due_at) FROM calendar_sync.lane WHERE lease_token IS NULL AND least(failures, 1) = 1),
        (SELECT min(due_at) FROM calendar_sync.lane WHERE lease_token IS NOT NULL)
    )), 0), 0)::float8 AS oldest_due_seconds,
    problem.rows AS problems,
    CASE WHEN rejected.rows <= 10000 THEN rejected.rows
         ELSE greatest(rejected.rows, pg_stat_get_live_tuples('calendar_sync.rejected_event'::regclass)) END AS rejected_events,
    coalesce((
        SELECT jsonb_object_agg(by_state.state, by_state.connections)
        FROM (
            SELECT CASE WHEN state = 'active' AND paused THEN 'paused' ELSE state END AS state, count(*) AS connections
            FROM calendar_sync.calendar_connection
            GROUP BY 1
        ) AS by_state
    ), '{}') AS connections,
    calendar_sync.oldest_transaction_seconds() AS oldest_transaction_seconds
FROM (SELECT count(*) AS rows FROM (SELECT FROM calendar_sync.outbox LIMIT 10001) AS first) AS outbox,
     (SELECT count(*) AS rows FROM (SELECT FROM calendar_sync.pending_push LIMIT 10001) AS first) AS pending,
     (SELECT count(*) AS rows FROM (SELECT FROM calendar_sync.pending_push WHERE problem IS NOT NULL LIMIT 10001) AS first) AS problem,
     (SELECT count(*) AS rows FROM (SELECT FROM calendar_sync.rejected_event LIMIT 10001) AS first) AS rejected;
