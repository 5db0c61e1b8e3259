-- What the web app adds: consent under way, leaving a calendar, test pushes, rate limits.

-- ---------------------------------------------------------------------------------------------------------------
-- A user on the way to Google's consent page and back.
CREATE TABLE calendar_sync.consent_attempt (
    state_hash    bytea PRIMARY KEY,        -- SHA-256 of the state parameter
    tenant_id     text NOT NULL,
    user_id       text NOT NULL,
    browser_hash  bytea NOT NULL,           -- SHA-256 of the cookie of the browser that set out
    code_verifier bytea NOT NULL,           -- encrypted; bound to tenant, user and column
    return_to     text NOT NULL,
    created_at    timestamptz NOT NULL DEFAULT calendar_sync.now(),
    expires_at    timestamptz NOT NULL,
    taken_at      timestamptz,              -- the callback came; it is taken once
    outcome       text                      -- "connected", or the code of what went wrong
);
CREATE INDEX consent_attempt_user ON calendar_sync.consent_attempt (tenant_id, user_id);
CREATE INDEX consent_attempt_expiry ON calendar_sync.consent_attempt (expires_at);

-- Token buckets. Lost in a crash, which harms nobody.
CREATE UNLOGGED TABLE calendar_sync.rate_limit (
    bucket      bytea PRIMARY KEY,          -- SHA-256 of the limit's name and whom it is for
    tokens      double precision NOT NULL,
    refilled_at timestamptz NOT NULL
) WITH (fillfactor = 70);
CREATE INDEX rate_limit_refilled ON calendar_sync.rate_limit (refilled_at);

-- ---------------------------------------------------------------------------------------------------------------
ALTER TABLE calendar_sync.calendar_connection
    -- How the last disconnect ended, for the user to read; NULL while connected.
    ADD COLUMN revocation text CHECK (revocation IN
        ('revoked', 'shared', 'dead', 'unanswered', 'refused', 'nothing')),
    ADD COLUMN events_left integer,
    -- While disconnecting: the grant is dead, so that no more events can be removed.
    ADD COLUMN cannot_empty boolean NOT NULL DEFAULT false;
CREATE INDEX calendar_connection_account ON calendar_sync.calendar_connection (account_id) WHERE account_id IS NOT NULL;
CREATE INDEX calendar_connection_disconnecting ON calendar_sync.calendar_connection (connection_id)
    WHERE state = 'disconnecting';

-- When a mark was made that nobody has answered since, however often it was made again or tried.
ALTER TABLE calendar_sync.pending_push ADD COLUMN unanswered_since timestamptz NOT NULL DEFAULT calendar_sync.now();

-- A calendar that a connection is leaving: for another one, and then it is kept up to date until that one is filled; or to
-- disconnect. Then it is emptied.
CREATE TABLE calendar_sync.departure (
    tenant_id      text NOT NULL,
    calendar_id    text NOT NULL,
    connection_id  bigint NOT NULL REFERENCES calendar_sync.calendar_connection ON DELETE CASCADE,
    calendar_name  text,
    left_at        timestamptz NOT NULL DEFAULT calendar_sync.now(),
    emptying_since timestamptz,             -- NULL: waits until the new calendar is filled
    lost           boolean NOT NULL DEFAULT false, -- the calendar is gone or read-only: nothing more can be removed
    PRIMARY KEY (tenant_id, calendar_id, connection_id)
);
CREATE INDEX departure_connection ON calendar_sync.departure (connection_id);

-- Grants that a user gave up for another Google account: to be revoked, unless somebody else lives on them.
CREATE TABLE calendar_sync.abandoned_grant (
    grant_id      bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    tenant_id     text NOT NULL,
    user_id       text NOT NULL,
    account_id    text NOT NULL,
    refresh_token bytea NOT NULL,           -- encrypted, as it was in the connection
    abandoned_at  timestamptz NOT NULL DEFAULT calendar_sync.now()
);

-- A user's proof that the whole way works: queue, daemon, grant, calendar.
CREATE TABLE calendar_sync.test_push (
    test_push_id uuid PRIMARY KEY,
    tenant_id    text NOT NULL,
    user_id      text NOT NULL,
    calendar_id  text NOT NULL,
    job_id       text NOT NULL,             -- under which it goes through outbox and pending_push
    requested_at timestamptz NOT NULL DEFAULT calendar_sync.now(),
    picked_up_at timestamptz,               -- the relay marked it
    access_at    timestamptz,               -- there is a token to call with
    written_at   timestamptz,
    read_back_at timestamptz,
    removed_at   timestamptz,
    failure      text,                      -- why it ended early, for the user
    UNIQUE (tenant_id, job_id)
);
CREATE INDEX test_push_user ON calendar_sync.test_push (tenant_id, user_id, requested_at);
CREATE INDEX test_push_age ON calendar_sync.test_push (requested_at);

-- What could not be pushed, as its users see it: of the payload only the job's number.
CREATE VIEW calendar_sync.job_problem AS
SELECT pending.tenant_id, pending.calendar_id, pending.generation, pending.job_id, job.payload ->> 'job_number' AS job_number,
       pending.problem, pending.first_marked_at
FROM calendar_sync.pending_push AS pending
LEFT JOIN calendar_sync.job ON job.tenant_id = pending.tenant_id AND job.job_id = pending.job_id
WHERE pending.problem IS NOT NULL;

-- Who may write to which calendar: somebody who has chosen it, or is leaving it.
CREATE VIEW calendar_sync.calendar_writer AS
SELECT connection_id, tenant_id, calendar_id
FROM calendar_sync.calendar_connection
WHERE calendar_id IS NOT NULL AND state = 'active' AND NOT paused
UNION ALL
SELECT connection.connection_id, departure.tenant_id, departure.calendar_id
FROM calendar_sync.departure
JOIN calendar_sync.calendar_connection AS connection USING (connection_id)
WHERE NOT departure.lost
  AND ((connection.state IN ('active', 'calendar_lost') AND NOT connection.paused)
       OR (connection.state = 'disconnecting' AND NOT connection.cannot_empty));

CREATE OR REPLACE VIEW calendar_sync.lane_due AS
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
    SELECT FROM calendar_sync.calendar_writer
    WHERE calendar_writer.tenant_id = lane.tenant_id AND calendar_writer.calendar_id = lane.calendar_id
);

-- ---------------------------------------------------------------------------------------------------------------
-- Two things that must be done by roles which may do nothing like them otherwise, so they run with the owner's rights.

-- Ends a connection: no token stays. The daemon does it too, and may choose no account and no calendar.
CREATE FUNCTION calendar_sync.clear_grant(of_connection bigint, of_grant bigint, ended text, left_behind integer)
    RETURNS boolean LANGUAGE sql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
    AS $$
    WITH cleared AS (
        UPDATE calendar_sync.calendar_connection
        SET state = 'not_connected', reconnect_reason = NULL, cannot_empty = false, cooling_until = NULL, paused = false,
            refresh_token = NULL, access_token = NULL, access_token_expires_at = NULL,
            scopes = '{}', connected_at = NULL, account_id = NULL, account_email = NULL, calendar_id = NULL,
            calendar_name = NULL, revocation = ended, events_left = left_behind, grant_version = grant_version + 1
        WHERE connection_id = of_connection AND grant_version = of_grant
        RETURNING connection_id
    )
    SELECT EXISTS (SELECT FROM cleared)
    $$;

-- Puts a test push into the outbox. The web app does it, and may write no job.
CREATE FUNCTION calendar_sync.enqueue_test_push(of_test_push uuid)
    RETURNS void LANGUAGE sql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
    AS $$
    INSERT INTO calendar_sync.outbox (tenant_id, job_id, event_type, payload)
    SELECT tenant_id, job_id, 'job.updated', '{}' FROM calendar_sync.test_push WHERE test_push_id = of_test_push
    $$;

-- The prefix is what the relay knows a test push by, so that no real job can be taken for one.
ALTER TABLE calendar_sync.test_push
    ADD CONSTRAINT job_id_is_made_of_the_id CHECK (job_id = 'calendar-sync-test:' || test_push_id);
REVOKE ALL ON FUNCTION calendar_sync.clear_grant(bigint, bigint, text, integer), calendar_sync.enqueue_test_push(uuid)
    FROM PUBLIC;
