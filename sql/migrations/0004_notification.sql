-- What follows from the state of a connection: who is told of it, and when its token is to be renewed. And when a problem was
-- last tried.

-- ---------------------------------------------------------------------------------------------------------------
-- State changes worth telling a person, for the host app to read.
CREATE TABLE calendar_sync.notification (
    id         bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    tenant_id  text NOT NULL,
    user_id    text NOT NULL,
    kind       text NOT NULL CHECK (kind IN ('broken', 'recovered', 'reminder')),
    -- What was wrong: a reconnect_reason, or the state that waits for its user; of a recovery NULL.
    reason     text,
    created_at timestamptz NOT NULL DEFAULT calendar_sync.now()
);
CREATE INDEX notification_age ON calendar_sync.notification (created_at);

-- One row for each connection that waits for its user; it goes when the connection works again, or ends.
CREATE TABLE calendar_sync.outage (
    connection_id bigint PRIMARY KEY REFERENCES calendar_sync.calendar_connection ON DELETE CASCADE,
    broken_at     timestamptz NOT NULL,
    remind_at     timestamptz               -- NULL: everything has been said
);
CREATE INDEX outage_reminder ON calendar_sync.outage (remind_at) WHERE remind_at IS NOT NULL;

-- When a user is reminded next of what broke then; one definition, for the first reminder and for those that follow.
CREATE FUNCTION calendar_sync.next_reminder(broken_at timestamptz) RETURNS timestamptz
    LANGUAGE sql STABLE PARALLEL SAFE
    AS $$
    SELECT min(broken_at + step)
    FROM unnest(ARRAY[interval '3 days', interval '7 days', interval '14 days']) AS step
    WHERE broken_at + step > calendar_sync.now()
    $$;

-- When the token of each live grant is to be renewed. Apart from the row that holds the tokens, because it is rewritten often.
CREATE TABLE calendar_sync.token_refresh (
    connection_id bigint PRIMARY KEY REFERENCES calendar_sync.calendar_connection ON DELETE CASCADE,
    due_at        timestamptz NOT NULL,     -- looked at then: before the token expires, and renewed if the connection is in use
    touch_at      timestamptz NOT NULL      -- renewed then in any case, so that a dead grant is found and none dies of disuse
) WITH (fillfactor = 70, autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 1000);
CREATE INDEX token_refresh_due ON calendar_sync.token_refresh (due_at);

-- A trigger, because no statement that changes a state, now or later, may forget it; and with the owner's rights, so that the
-- web app, which changes states too, needs no right to write notifications: it causes one only by changing a state.
CREATE FUNCTION calendar_sync.follow_connection() RETURNS trigger
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
    AS $$
DECLARE
    seconds_left float8 := extract(epoch FROM NEW.access_token_expires_at - calendar_sync.now());
BEGIN
    IF TG_OP = 'UPDATE' AND NEW.state <> OLD.state THEN
        IF NEW.state IN ('needs_reconnect', 'calendar_lost') THEN
            INSERT INTO calendar_sync.notification (tenant_id, user_id, kind, reason)
            VALUES (NEW.tenant_id, NEW.user_id, 'broken', coalesce(NEW.reconnect_reason, NEW.state));
            INSERT INTO calendar_sync.outage (connection_id, broken_at, remind_at)
            VALUES (NEW.connection_id, calendar_sync.now(), calendar_sync.next_reminder(calendar_sync.now()))
            ON CONFLICT (connection_id) DO UPDATE SET broken_at = excluded.broken_at, remind_at = excluded.remind_at;
        ELSIF NEW.state <> 'choose_calendar' THEN
            -- Whoever reconnected with another account is not done before a calendar is chosen.
            DELETE FROM calendar_sync.outage WHERE connection_id = NEW.connection_id;
            IF FOUND AND NEW.state = 'active' THEN
                INSERT INTO calendar_sync.notification (tenant_id, user_id, kind)
                VALUES (NEW.tenant_id, NEW.user_id, 'recovered');
            END IF;
        END IF;
    END IF;
    IF NEW.refresh_token IS NULL OR NEW.state NOT IN ('choose_calendar', 'active', 'calendar_lost') THEN
        DELETE FROM calendar_sync.token_refresh WHERE connection_id = NEW.connection_id;
    ELSIF TG_OP = 'INSERT' OR NEW.access_token_expires_at IS DISTINCT FROM OLD.access_token_expires_at THEN
        -- A quarter of an hour ahead: time for another try or two before a push has to do it. Of a short life the half.
        INSERT INTO calendar_sync.token_refresh (connection_id, due_at, touch_at)
        VALUES (NEW.connection_id,
                calendar_sync.now()
                    + make_interval(secs => coalesce(greatest(seconds_left - 900, seconds_left / 2, 0), 0)),
                calendar_sync.now() + interval '1 day' * (0.75 + random() / 2))
        ON CONFLICT (connection_id) DO UPDATE SET due_at = excluded.due_at, touch_at = excluded.touch_at;
    END IF;
    RETURN NULL;
END
$$;
REVOKE ALL ON FUNCTION calendar_sync.follow_connection() FROM PUBLIC;

CREATE TRIGGER follow_connection AFTER INSERT OR UPDATE OF state, access_token_expires_at
    ON calendar_sync.calendar_connection
    FOR EACH ROW EXECUTE FUNCTION calendar_sync.follow_connection();

-- Connections from before: their grants are looked at in the course of the next day, and what is broken is reminded of.
INSERT INTO calendar_sync.token_refresh (connection_id, due_at, touch_at)
SELECT connection_id, calendar_sync.now() + interval '1 day' * random(), calendar_sync.now()
FROM calendar_sync.calendar_connection
WHERE refresh_token IS NOT NULL AND state IN ('choose_calendar', 'active', 'calendar_lost');
INSERT INTO calendar_sync.outage (connection_id, broken_at, remind_at)
SELECT connection_id, calendar_sync.now(), calendar_sync.next_reminder(calendar_sync.now())
FROM calendar_sync.calendar_connection
WHERE state IN ('needs_reconnect', 'calendar_lost');

-- ---------------------------------------------------------------------------------------------------------------
ALTER TABLE calendar_sync.calendar_connection
    -- Why it rests until cooling_until: Google asked the account to wait; Google Calendar is switched off for the account; Google's
    -- token server does not answer; something of ours is to be mended. NULL: not known, from before.
    ADD COLUMN cooling_reason text CHECK (cooling_reason IN ('limit', 'no_calendar', 'no_answer', 'ours')),
    -- Found lost; until a calendar is chosen, no new grant alone makes it writable again.
    ADD COLUMN lost_calendar_id text;
UPDATE calendar_sync.calendar_connection SET lost_calendar_id = calendar_id WHERE state = 'calendar_lost';

-- The calendars that a user's connection has to do with: the chosen one, and those being left.
CREATE VIEW calendar_sync.users_calendar AS
SELECT tenant_id, user_id, calendar_id
FROM calendar_sync.calendar_connection
WHERE calendar_id IS NOT NULL
UNION
SELECT connection.tenant_id, connection.user_id, departure.calendar_id
FROM calendar_sync.departure
JOIN calendar_sync.calendar_connection AS connection USING (connection_id);

ALTER TABLE calendar_sync.pending_push ADD COLUMN last_tried_at timestamptz;

CREATE OR REPLACE VIEW calendar_sync.job_problem AS
SELECT pending.tenant_id, pending.calendar_id, pending.generation, pending.job_id, job.payload ->> 'job_number' AS job_number,
       pending.problem, pending.first_marked_at, pending.last_tried_at
FROM calendar_sync.pending_push AS pending
LEFT JOIN calendar_sync.job ON job.tenant_id = pending.tenant_id AND job.job_id = pending.job_id
WHERE pending.problem IS NOT NULL;
