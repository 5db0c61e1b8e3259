-- The iCalendar feed: a secret address for each user that wants one, and what is served there.

CREATE INDEX job_cancelled ON calendar_sync.job (tenant_id, updated_at) WHERE cancelled;

-- One address a user. It is nowhere: whoever has it can read the feed, so only a hash of its token is kept.
CREATE TABLE calendar_sync.calendar_feed (
    feed_id         bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    tenant_id       text NOT NULL CHECK (char_length(tenant_id) BETWEEN 1 AND 200),
    user_id         text NOT NULL CHECK (char_length(user_id) BETWEEN 1 AND 200),
    token_hash      bytea NOT NULL UNIQUE CHECK (octet_length(token_hash) = 32), -- SHA-256
    job_filter      text NOT NULL CHECK (job_filter IN ('all', 'assigned')),
    created_at      timestamptz NOT NULL DEFAULT calendar_sync.now(), -- of the address that holds now
    last_fetched_at timestamptz,            -- to some minutes, so that a visit seldom writes
    UNIQUE (tenant_id, user_id)
);

-- ---------------------------------------------------------------------------------------------------------------
-- Which jobs a feed has, nearest first: what is not over yet by its end, up to 400 days ahead; then what was over in the last 14
-- days; then what was cancelled in the last 30. The order is part of it: it decides what is left out where there is too much. The one
-- definition, for the fingerprint and for the body.
--
-- For one user (NULL: for all) it is the user's among the nearest of the tenant's jobs: so many are looked at and no more, so that a visit
-- costs the same in a tenant of any size, whoever has few jobs or none among very many.
CREATE FUNCTION calendar_sync.feed_selection(of_tenant text, of_user text, moment timestamptz)
    RETURNS TABLE (job_id text, version bigint, cancelled boolean, place bigint)
    LANGUAGE sql STABLE ROWS 2000
    -- Along the indexes and no further than the limits, whatever is known of a tenant when this is planned: elsewhere rows are found first and
    -- sorted then, all of them.
    SET enable_seqscan = off SET enable_bitmapscan = off SET enable_sort = off SET jit = off
    AS $$
    SELECT near.job_id, near.version, near.cancelled, row_number() OVER (ORDER BY near.part, near.distance, near.job_id) AS place
    FROM (
        (SELECT 1 AS part, upcoming.ends_at - moment AS distance, upcoming.job_id, upcoming.version, false AS cancelled
         FROM (
             SELECT job.ends_at, job.job_id, job.version,
                    of_user IS NULL OR job.payload -> 'assigned_user_ids' ? of_user AS shown
             FROM calendar_sync.job
             WHERE job.tenant_id = of_tenant AND NOT job.cancelled
               AND job.ends_at > moment AND job.ends_at <= moment + interval '400 days'
             ORDER BY job.ends_at
             LIMIT CASE WHEN of_user IS NULL THEN 2000 ELSE 10000 END
         ) AS upcoming
         WHERE upcoming.shown
         ORDER BY upcoming.ends_at, upcoming.job_id
         LIMIT 2000)
        UNION ALL
        (SELECT 2, moment - past.ends_at, past.job_id, past.version, false
         FROM (
             SELECT job.ends_at, job.job_id, job.version,
                    of_user IS NULL OR job.payload -> 'assigned_user_ids' ? of_user AS shown
             FROM calendar_sync.job
             WHERE job.tenant_id = of_tenant AND NOT job.cancelled
               AND job.ends_at <= moment AND job.ends_at > moment - interval '14 days'
             ORDER BY job.ends_at DESC
             LIMIT CASE WHEN of_user IS NULL THEN 2000 ELSE 5000 END
         ) AS past
         WHERE past.shown
         ORDER BY past.ends_at DESC, past.job_id
         LIMIT 2000)
        UNION ALL
        (SELECT 3, moment - gone.updated_at, gone.job_id, gone.version, true
         FROM (
             SELECT job.updated_at, job.job_id, job.version,
                    job.ends_at > moment - interval '14 days' AND job.ends_at <= moment + interval '400 days'
                        AND (of_user IS NULL OR job.payload -> 'assigned_user_ids' ? of_user) AS shown
             FROM calendar_sync.job
             WHERE job.tenant_id = of_tenant AND job.cancelled
               AND job.updated_at > moment - interval '30 days'
             ORDER BY job.updated_at DESC
             LIMIT 5000
         ) AS gone
         WHERE gone.shown
         ORDER BY gone.updated_at DESC, gone.job_id
         LIMIT 2000)
    ) AS near
    ORDER BY near.part, near.distance, near.job_id
    LIMIT 2000
    $$;

-- ---------------------------------------------------------------------------------------------------------------
-- The web app reads no job but through these two, which run with the owner's rights, know a feed by its token's hash, and tell of a job what
-- its event is made of. (Whoever took over the web app could make a feed for anybody, and so read the events of any tenant: its jobs' crews and
-- whatever else their payloads carry, he cannot.)

-- The feed, and a fingerprint of what it would show; no row: there is no such feed. For all jobs no payload is read.
CREATE FUNCTION calendar_sync.visit_feed(of_token bytea)
    RETURNS TABLE (feed_id bigint, tenant_id text, job_filter text, moment timestamptz, fetched_lately boolean, fingerprint bytea)
    LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
    AS $$
    SELECT feed.feed_id, feed.tenant_id, feed.job_filter, calendar_sync.now(),
           coalesce(feed.last_fetched_at > calendar_sync.now() - interval '10 minutes', false),
           (
               SELECT sha256(convert_to(coalesce(string_agg(
                          json_build_array(chosen.job_id, chosen.version, chosen.cancelled)::text, ',' ORDER BY chosen.place
                      ), ''), 'UTF8'))
               FROM calendar_sync.feed_selection(
                   feed.tenant_id, CASE feed.job_filter WHEN 'assigned' THEN feed.user_id END, calendar_sync.now()
               ) AS chosen
           )
    FROM calendar_sync.calendar_feed AS feed
    WHERE feed.token_hash = of_token
    $$;

-- Its jobs in their order, as they are in the caller's snapshot; `moment` as the visit a moment ago told it, so that both mean the same. Of the
-- payload the fields of which an event is made.
CREATE FUNCTION calendar_sync.feed_jobs(of_token bytea, moment timestamptz)
    RETURNS TABLE (job_id text, cancelled boolean, revision integer, updated_at timestamptz, payload jsonb)
    LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
    AS $$
DECLARE
    feed calendar_sync.calendar_feed;
BEGIN
    IF moment NOT BETWEEN calendar_sync.now() - interval '1 minute' AND calendar_sync.now() + interval '1 minute' THEN
        RAISE EXCEPTION 'a feed is of the present moment' USING ERRCODE = 'invalid_parameter_value';
    END IF;
    -- Looked up first, so that the selection depends on nothing else and is made once.
    SELECT * INTO feed FROM calendar_sync.calendar_feed WHERE token_hash = of_token;
    RETURN QUERY
    SELECT job.job_id, job.cancelled, job.revision, job.updated_at,
           jsonb_build_object(
               'schema_version', job.payload -> 'schema_version', 'job_number', job.payload -> 'job_number',
               'timezone', job.payload -> 'timezone', 'legs', job.payload -> 'legs', 'manifest', job.payload -> 'manifest'
           )
    FROM calendar_sync.feed_selection(
        feed.tenant_id, CASE feed.job_filter WHEN 'assigned' THEN feed.user_id END, moment
    ) AS chosen
    JOIN calendar_sync.job ON job.tenant_id = feed.tenant_id AND job.job_id = chosen.job_id
    ORDER BY chosen.place;
END
$$;

REVOKE ALL ON FUNCTION calendar_sync.feed_selection(text, text, timestamptz), calendar_sync.visit_feed(bytea),
    calendar_sync.feed_jobs(bytea, timestamptz) FROM PUBLIC;

-- What a feed says as SEQUENCE: a small number that only grows, even for a job that was forgotten and comes back
-- (sql/relay/apply_rows.sql). Last, because nobody reads a job from here to the end of the transaction.
ALTER TABLE calendar_sync.job ADD COLUMN revision integer NOT NULL DEFAULT 0;
