-- Purpose: a user's feed gets a new address, the first one or another one; the former stops working. What is not said about the filter stays as it
-- was, and is at first that of the user's connection. Where `instead_of` names the address that was to be replaced ('': none) and there is
-- another one by now, nothing is done and no row answered.
-- Index: the unique key (tenant_id, user_id).
INSERT INTO calendar_sync.calendar_feed AS feed (tenant_id, user_id, token_hash, job_filter)
SELECT %(tenant_id)s, %(user_id)s, %(token_hash)s, coalesce(
    %(job_filter)s::text,
    (SELECT connection.job_filter
     FROM calendar_sync.calendar_connection AS connection
     WHERE connection.tenant_id = %(tenant_id)s AND connection.user_id = %(user_id)s),
    'all'
)
WHERE %(instead_of)s::text IS NULL OR %(instead_of)s::text = coalesce(
    (SELECT extract(epoch FROM present.created_at)::text
     FROM calendar_sync.calendar_feed AS present
     WHERE present.tenant_id = %(tenant_id)s AND present.user_id = %(user_id)s),
    ''
)
ON CONFLICT (tenant_id, user_id) DO UPDATE
SET token_hash = %(token_hash)s,
    job_filter = coalesce(%(job_filter)s::text, feed.job_filter),
    created_at = calendar_sync.now(),
    last_fetched_at = NULL
-- Once more: of two at once the second finds what the first wrote.
WHERE %(instead_of)s::text IS NULL OR extract(epoch FROM feed.created_at)::text = %(instead_of)s::text
RETURNING job_filter, created_at, last_fetched_at, extract(epoch FROM created_at)::text AS address_id
