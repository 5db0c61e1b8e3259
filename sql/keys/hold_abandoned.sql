-- Purpose: a grant that is to be given up without being revoked, if it is still under the key that is lost; it stays so until the transaction ends.
-- Index: abandoned_grant_pkey.
SELECT FROM calendar_sync.abandoned_grant WHERE grant_id = %(id)s AND refresh_token = %(refresh_token)s FOR NO KEY UPDATE
