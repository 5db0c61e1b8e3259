-- The whole schema: what producers write, what stands between, and what was put where.
-- Applied once by `daemon.py migrate`, in one transaction, under an advisory lock.

-- Every due time and lease is judged by this clock, so that no two machines' clocks are ever compared.
-- STABLE, and inlined by the planner, so that it can bound an index scan.
CREATE FUNCTION calendar_sync.now() RETURNS timestamptz
    LANGUAGE sql STABLE PARALLEL SAFE
    AS 'SELECT statement_timestamp()';

-- ---------------------------------------------------------------------------------------------------------------
-- Written by the jobs service, in its own transaction. Rows live for the moment until the relay takes them.
CREATE TABLE calendar_sync.outbox (
    id         bigint GENERATED ALWAYS AS IDENTITY (CACHE 1) PRIMARY KEY,
    tenant_id  text NOT NULL,
    job_id     text NOT NULL,
    event_type text NOT NULL,
    payload    jsonb NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT tenant_id_has_1_to_200_characters CHECK (char_length(tenant_id) BETWEEN 1 AND 200),
    CONSTRAINT job_id_has_1_to_200_characters CHECK (char_length(job_id) BETWEEN 1 AND 200),
    CONSTRAINT event_type_is_created_updated_or_cancelled
        CHECK (event_type IN ('job.created', 'job.updated', 'job.cancelled'))
) WITH (
    -- Every row is inserted and soon deleted: the share of dead rows says nothing, their number does; and cleaning must
    -- keep up with the inserts, so it does not pause.
    autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 1000, autovacuum_vacuum_cost_delay = 0,
    autovacuum_analyze_scale_factor = 0, autovacuum_analyze_threshold = 10000
);

-- A hint that wakes the relay; Postgres folds equal notifications of one transaction into one.
CREATE FUNCTION calendar_sync.notify_outbox() RETURNS trigger
    LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
    AS $$ BEGIN PERFORM pg_notify('calendar_sync_outbox', ''); RETURN NULL; END $$;

CREATE TRIGGER notify_outbox AFTER INSERT ON calendar_sync.outbox
    FOR EACH STATEMENT EXECUTE FUNCTION calendar_sync.notify_outbox();

-- Rows whose payload breaks the contract, as they came, with the reason. `daemon.py replay` puts them back.
CREATE TABLE calendar_sync.rejected_event (
    outbox_id   bigint PRIMARY KEY,
    tenant_id   text NOT NULL,
    job_id      text NOT NULL,
    event_type  text NOT NULL,
    payload     jsonb NOT NULL,
    created_at  timestamptz NOT NULL,
    reason      text NOT NULL,
    rejected_at timestamptz NOT NULL DEFAULT calendar_sync.now()
);

-- ---------------------------------------------------------------------------------------------------------------
-- The newest state of each job.
CREATE TABLE calendar_sync.job (
    tenant_id  text NOT NULL,
    job_id     text NOT NULL,
    version    bigint NOT NULL,         -- the outbox id of the row that this state came with
    cancelled  boolean NOT NULL,
    payload    jsonb NOT NULL,          -- of a cancelled job: its last state before
    ends_at    timestamptz,             -- when its event is over; NULL while it has none
    updated_at timestamptz NOT NULL,
    PRIMARY KEY (tenant_id, job_id)
) WITH (
    -- Updated in place a dozen times in a job's life: room on the page keeps those updates off the indexes.
    fillfactor = 85, autovacuum_vacuum_scale_factor = 0.05
);
CREATE INDEX job_upcoming ON calendar_sync.job (tenant_id, ends_at) WHERE NOT cancelled AND ends_at IS NOT NULL;
CREATE INDEX job_retention ON calendar_sync.job (greatest(ends_at, updated_at));

-- ---------------------------------------------------------------------------------------------------------------
-- An office user's grant and choices. One Google account may stand behind several rows.
CREATE TABLE calendar_sync.calendar_connection (
    connection_id           bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    tenant_id               text NOT NULL CHECK (char_length(tenant_id) BETWEEN 1 AND 200),
    user_id                 text NOT NULL CHECK (char_length(user_id) BETWEEN 1 AND 200),
    state                   text NOT NULL CHECK (state IN
        ('not_connected', 'choose_calendar', 'active', 'needs_reconnect', 'calendar_lost', 'disconnecting')),
    reconnect_reason        text CHECK (reconnect_reason IN
        ('revoked', 'missing_scope', 'blocked_by_admin', 'key_lost')),
    paused                  boolean NOT NULL DEFAULT false,
    job_filter              text NOT NULL DEFAULT 'all' CHECK (job_filter IN ('all', 'assigned')),
    account_id              text,           -- the id of the account's primary calendar
    account_email           text,
    calendar_id             text,
    calendar_name           text,
    scopes                  text[] NOT NULL DEFAULT '{}',
    -- Raised with every new grant: whatever was learnt with an older one is not written.
    grant_version           bigint NOT NULL DEFAULT 0,
    refresh_token           bytea,          -- encrypted; bound to tenant, user and column
    access_token            bytea,          -- encrypted likewise
    access_token_expires_at timestamptz,
    cooling_until           timestamptz,    -- Google asked this account to wait
    connected_at            timestamptz,
    UNIQUE (tenant_id, user_id),
    CHECK (state <> 'active' OR calendar_id IS NOT NULL),
    -- "primary" is another calendar for everybody, and dots would lead out of a URL's path.
    CONSTRAINT calendar_id_is_a_real_id CHECK (calendar_id NOT IN ('primary', '', '.', '..'))
);
CREATE INDEX calendar_connection_calendar ON calendar_sync.calendar_connection (tenant_id, calendar_id)
    WHERE calendar_id IS NOT NULL;

-- ---------------------------------------------------------------------------------------------------------------
-- One row per (tenant, calendar): who may write to that calendar now, and when there is something to do.
CREATE TABLE calendar_sync.lane (
    tenant_id        text NOT NULL,
    calendar_id      text NOT NULL,
    due_at           timestamptz,           -- NULL: nothing that could be pushed now or later
    not_before       timestamptz,           -- the lane rests until then, whatever is due
    failures         integer NOT NULL DEFAULT 0,
    lease_token      uuid,
    lease_expires_at timestamptz,
    last_pushed_at   timestamptz,
    PRIMARY KEY (tenant_id, calendar_id),
    CHECK ((lease_token IS NULL) = (lease_expires_at IS NULL))
) WITH (fillfactor = 50, autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 1000,
        autovacuum_vacuum_cost_delay = 0);
-- The state of the lease is in the predicates, so that a claim walks only what may be claimed, and expiry only what may expire.
CREATE INDEX lane_free ON calendar_sync.lane (least(failures, 1), due_at) WHERE lease_token IS NULL AND due_at IS NOT NULL;
CREATE INDEX lane_leased ON calendar_sync.lane (lease_expires_at) WHERE lease_token IS NOT NULL;

-- A mark's number, never used twice: a push may remove only the very mark that it answered.
CREATE SEQUENCE calendar_sync.mark_generation CACHE 1;

-- "What stands in this calendar for this job has to be looked at."
CREATE TABLE calendar_sync.pending_push (
    tenant_id       text NOT NULL,
    calendar_id     text NOT NULL,
    job_id          text NOT NULL,
    generation      bigint NOT NULL DEFAULT nextval('calendar_sync.mark_generation'),
    first_marked_at timestamptz NOT NULL,
    due_at          timestamptz,            -- NULL: parked as a problem until somebody acts
    attempts        integer NOT NULL DEFAULT 0,
    problem         text,                   -- why it could not be pushed, for the user
    PRIMARY KEY (tenant_id, calendar_id, job_id),
    CHECK (due_at IS NOT NULL OR problem IS NOT NULL)
) WITH (fillfactor = 70, autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 1000,
        autovacuum_vacuum_cost_delay = 0);
CREATE INDEX pending_push_due ON calendar_sync.pending_push (tenant_id, calendar_id, due_at) WHERE due_at IS NOT NULL;

-- What we last put where: the idempotency map. A row outlives its event, because its id stays taken at Google.
CREATE TABLE calendar_sync.pushed_event (
    tenant_id     text NOT NULL,
    calendar_id   text NOT NULL,
    job_id        text NOT NULL,
    event_id      text NOT NULL,
    id_generation integer NOT NULL,
    -- The pair is in doubt from before a call until its definite answer is settled.
    in_doubt      boolean NOT NULL,
    write_sent_by timestamptz,              -- while in doubt: until when a write that makes the event may have been sent
    etag          text,                     -- NULL: we know of no live event
    content_hash  bytea,                    -- of our fields as Google last confirmed them; NULL: no live event
    users_fields  text,                     -- what the user owns on it, as last seen: JSON, of which jsonb could not hold all
    seen_by       bigint,                   -- the connection that saw them (reminders are each user's own)
    html_link     text,
    pushed_at     timestamptz,              -- of the last definite answer
    PRIMARY KEY (tenant_id, calendar_id, job_id)
) WITH (fillfactor = 85, autovacuum_vacuum_scale_factor = 0.05);

-- Ids given up after a definite refusal, until their events have been seen gone.
CREATE TABLE calendar_sync.retired_event (
    tenant_id   text NOT NULL,
    calendar_id text NOT NULL,
    job_id      text NOT NULL,
    event_id    text NOT NULL,
    retired_at  timestamptz NOT NULL DEFAULT calendar_sync.now(),
    PRIMARY KEY (tenant_id, calendar_id, job_id, event_id)
);

-- When each lane is due: the one definition, for the relay, the settling of a push and the janitor.
-- min() walks pending_push_due to its first entry, so the cost does not depend on how much waits.
CREATE VIEW calendar_sync.lane_due AS
SELECT lane.tenant_id, lane.calendar_id, greatest(pending.due_at, lane.not_before) AS due_at
FROM calendar_sync.lane
CROSS JOIN LATERAL (
    SELECT min(pending_push.due_at) AS due_at
    FROM calendar_sync.pending_push
    WHERE pending_push.tenant_id = lane.tenant_id
      AND pending_push.calendar_id = lane.calendar_id
      AND pending_push.due_at IS NOT NULL
) AS pending
WHERE pending.due_at IS NOT NULL
  AND EXISTS (
    SELECT FROM calendar_sync.calendar_connection
    WHERE calendar_connection.tenant_id = lane.tenant_id
      AND calendar_connection.calendar_id = lane.calendar_id
      AND calendar_connection.state = 'active'
      AND NOT calendar_connection.paused
);
