-- Purpose: take a turn on a Google account, if nobody else has it: its grant is revoked, or a new one kept, by one at a time. Held by
-- the session, not by a transaction, because Google is asked meanwhile. In a statement of its own.
SELECT pg_try_advisory_lock(1668246900, hashtext(%(account_id)s))
