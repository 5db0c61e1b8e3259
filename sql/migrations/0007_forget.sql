-- Forgetting a user or a tenant: whose each calendar is, a disconnect that the daemon may begin, and the erasure.

-- Every calendar that a connection has ever chosen. A connection that ended names none any more, but what was put there stays on
-- record, under the calendar's id, which may be an e-mail address: so it is known whose that is. (0008 writes down those that were chosen
-- before; what nobody is known to have chosen, or to use, goes with the first of the tenant who is forgotten.)
CREATE TABLE calendar_sync.chosen_calendar (
    tenant_id     text NOT NULL,
    calendar_id   text NOT NULL,
    connection_id bigint NOT NULL REFERENCES calendar_sync.calendar_connection ON DELETE CASCADE,
    PRIMARY KEY (tenant_id, calendar_id, connection_id)
);
CREATE INDEX chosen_calendar_connection ON calendar_sync.chosen_calendar (connection_id);

-- A trigger, because no statement that chooses a calendar, now or later, may forget it; and with the owner's rights, so that nobody
-- else needs any.
CREATE FUNCTION calendar_sync.remember_calendar() RETURNS trigger
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
    AS $$
BEGIN
    INSERT INTO calendar_sync.chosen_calendar (tenant_id, calendar_id, connection_id)
    VALUES (NEW.tenant_id, NEW.calendar_id, NEW.connection_id)
    ON CONFLICT DO NOTHING;
    RETURN NULL;
END
$$;

CREATE TRIGGER remember_calendar AFTER INSERT OR UPDATE OF calendar_id ON calendar_sync.calendar_connection
    FOR EACH ROW WHEN (NEW.calendar_id IS NOT NULL) EXECUTE FUNCTION calendar_sync.remember_calendar();

-- ---------------------------------------------------------------------------------------------------------------
-- Begins to disconnect a user: the chosen calendar is being left, like those that are being left already. False, and nothing written, if there
-- is none that can still be emptied. With the owner's rights, because the daemon does it too, and may otherwise have no calendar left or chosen.
CREATE FUNCTION calendar_sync.begin_disconnect(of_tenant text, of_user text) RETURNS boolean
    LANGUAGE sql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
    AS $$
    INSERT INTO calendar_sync.departure (tenant_id, calendar_id, connection_id, calendar_name)
    SELECT tenant_id, calendar_id, connection_id, calendar_name
    FROM calendar_sync.calendar_connection
    WHERE tenant_id = of_tenant AND user_id = of_user AND refresh_token IS NOT NULL AND calendar_id IS NOT NULL
      AND state NOT IN ('needs_reconnect', 'calendar_lost')
    ON CONFLICT (tenant_id, calendar_id, connection_id) DO NOTHING;
    WITH begun AS (
        UPDATE calendar_sync.calendar_connection AS connection
        SET state = 'disconnecting', cannot_empty = false, paused = false
        WHERE tenant_id = of_tenant AND user_id = of_user AND refresh_token IS NOT NULL AND state <> 'needs_reconnect'
          AND EXISTS (
              SELECT FROM calendar_sync.departure
              WHERE departure.connection_id = connection.connection_id AND NOT departure.lost
          )
        RETURNING connection_id
    )
    SELECT EXISTS (SELECT FROM begun)
    $$;

-- ---------------------------------------------------------------------------------------------------------------
-- Erases all that is stored about a user, or (of_user NULL) about a tenant, and answers how many rows of which table went. Run by
-- whoever is alone with the tenant's wishes (sql/connection/lock_tenant.sql).
--
-- It goes by the catalogue, so that a table made later is not forgotten: rows that name a user are his; rows that name a connection
-- go with it; rows that name a calendar go if no user who is left uses it or has ever chosen it; of a tenant everything goes that names it.
--
-- It refuses while a grant of theirs was not ended, so that no token is dropped that Google still honours. What that leaves to whoever takes
-- over the daemon: to erase what it can already end (clear_grant), delete (jobs, what was put where) or leave to die. It reads nothing by it.
CREATE FUNCTION calendar_sync.erase(of_tenant text, of_user text) RETURNS TABLE (name text, erased bigint)
    LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
    AS $$
DECLARE
    connection_ids  bigint[];
    their_calendars text[]; -- that they have ever chosen
    lone_calendars  text[]; -- that nobody is left on
    condition       text;
BEGIN
    -- Whoever pushes settles under the lane's row: this waits for it, and finds what it wrote; a later one finds no lane and writes
    -- nothing. Likewise whoever changes a connection.
    PERFORM FROM calendar_sync.lane WHERE tenant_id = of_tenant ORDER BY calendar_id FOR UPDATE;
    SELECT coalesce(array_agg(held.connection_id), '{}') INTO connection_ids
    FROM (
        SELECT connection_id FROM calendar_sync.calendar_connection
        WHERE tenant_id = of_tenant AND (of_user IS NULL OR user_id = of_user)
        ORDER BY connection_id
        FOR UPDATE
    ) AS held;
    IF EXISTS (
        SELECT FROM calendar_sync.calendar_connection
        WHERE connection_id = ANY (connection_ids) AND refresh_token IS NOT NULL
    ) OR EXISTS (
        SELECT FROM calendar_sync.abandoned_grant WHERE tenant_id = of_tenant AND (of_user IS NULL OR user_id = of_user)
    ) THEN
        RAISE EXCEPTION 'a grant of theirs was not ended' USING ERRCODE = 'object_in_use';
    END IF;
    -- A test that waits in the outbox would be taken for a job, without its record.
    DELETE FROM calendar_sync.outbox USING calendar_sync.test_push AS test
    WHERE outbox.tenant_id = of_tenant AND test.tenant_id = of_tenant AND outbox.job_id = test.job_id AND test.user_id = of_user;
    SELECT coalesce(array_agg(DISTINCT calendar_id), '{}') INTO their_calendars
    FROM calendar_sync.chosen_calendar WHERE connection_id = ANY (connection_ids);
    SELECT coalesce(array_agg(calendar_id), '{}') INTO lone_calendars
    FROM (
        SELECT unnest(their_calendars)
        UNION
        SELECT calendar_id FROM calendar_sync.lane WHERE tenant_id = of_tenant
        UNION -- a daemon of an older release may have marked jobs after their lane was erased
        SELECT calendar_id FROM calendar_sync.pending_push WHERE tenant_id = of_tenant
    ) AS known (calendar_id)
    WHERE NOT EXISTS (
        SELECT FROM calendar_sync.chosen_calendar AS chosen
        WHERE chosen.tenant_id = of_tenant AND chosen.calendar_id = known.calendar_id
          AND chosen.connection_id <> ALL (connection_ids)
    ) AND NOT EXISTS (
        SELECT FROM calendar_sync.users_calendar AS used
        WHERE used.tenant_id = of_tenant AND used.calendar_id = known.calendar_id AND used.user_id <> of_user
    );
    -- On a calendar that colleagues keep: the reminders that were theirs alone. Whoever writes next looks first.
    UPDATE calendar_sync.pushed_event SET users_fields = NULL, seen_by = NULL
    WHERE tenant_id = of_tenant AND calendar_id = ANY (their_calendars) AND seen_by = ANY (connection_ids);
    FOR name, condition IN
        SELECT relation.relname::text,
               CASE WHEN columns.names @> '{connection_id}' AND NOT columns.names @> '{user_id}' THEN 'connection_id = ANY ($3)'
                    WHEN of_user IS NULL AND columns.names @> '{tenant_id}' THEN 'tenant_id = $1'
                    WHEN columns.names @> '{tenant_id,user_id}' THEN 'tenant_id = $1 AND user_id = $2'
                    WHEN columns.names @> '{tenant_id,calendar_id}'
                    THEN 'tenant_id = $1 AND calendar_id = ANY ($4)'
               END
        FROM pg_class AS relation
        CROSS JOIN LATERAL (
            SELECT array_agg(attname::text) AS names
            FROM pg_attribute
            WHERE attrelid = relation.oid AND attnum > 0 AND NOT attisdropped
        ) AS columns
        WHERE relation.relnamespace = 'calendar_sync'::regnamespace
          AND relation.relkind IN ('r', 'p')
          AND NOT relation.relispartition
        -- First what hangs on a connection, then connections, and last what goes only if nobody is left on it.
        ORDER BY columns.names @> '{connection_id}' AND NOT columns.names @> '{user_id}' DESC,
                 columns.names @> '{user_id}' DESC,
                 relation.relname
    LOOP
        CONTINUE WHEN condition IS NULL;
        EXECUTE format('DELETE FROM calendar_sync.%I WHERE %s', name, condition) USING of_tenant, of_user, connection_ids, lone_calendars;
        GET DIAGNOSTICS erased = ROW_COUNT;
        RETURN NEXT;
    END LOOP;
END
$$;

-- The two ways to it, so that a missing user is never taken for all of them.
CREATE FUNCTION calendar_sync.erase_user(of_tenant text, of_user text) RETURNS TABLE (name text, erased bigint)
    LANGUAGE sql STRICT SECURITY DEFINER SET search_path = pg_catalog, pg_temp
    AS 'SELECT name, erased FROM calendar_sync.erase(of_tenant, of_user)';

CREATE FUNCTION calendar_sync.erase_tenant(of_tenant text) RETURNS TABLE (name text, erased bigint)
    LANGUAGE sql STRICT SECURITY DEFINER SET search_path = pg_catalog, pg_temp
    AS 'SELECT name, erased FROM calendar_sync.erase(of_tenant, NULL)';

REVOKE ALL ON FUNCTION calendar_sync.remember_calendar(), calendar_sync.begin_disconnect(text, text),
    calendar_sync.erase(text, text), calendar_sync.erase_user(text, text), calendar_sync.erase_tenant(text) FROM PUBLIC;
