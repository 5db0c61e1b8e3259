-- Purpose: a connection is about to end, before Google is asked to end its grant: from now on nothing is pushed or renewed through it, and
-- what dies is no trouble to tell of. After a crash the daemon goes on from here. Writes nothing if its grant has changed since.
-- Index: calendar_connection_pkey.
UPDATE calendar_sync.calendar_connection SET state = 'disconnecting', cannot_empty = true
WHERE connection_id = %(connection_id)s AND grant_version = %(grant_version)s
