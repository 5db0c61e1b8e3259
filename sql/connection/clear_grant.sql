-- Purpose: a connection ends: no token stays. False, and nothing written, if its grant has changed since.
-- Index: calendar_connection_pkey.
SELECT calendar_sync.clear_grant(%(connection_id)s, %(grant_version)s, %(revocation)s, %(events_left)s)
