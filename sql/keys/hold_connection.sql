-- Purpose: a connection whose grant is to be given up, if it is still under the key that is lost; it stays so until the transaction ends.
-- Index: calendar_connection_pkey.
SELECT FROM calendar_sync.calendar_connection WHERE connection_id = %(id)s AND refresh_token = %(refresh_token)s FOR NO KEY UPDATE
