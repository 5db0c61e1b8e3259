-- Purpose: end a turn on a Google account.
SELECT pg_advisory_unlock(1668246900, hashtext(%(account_id)s))
