-- Purpose: one of a user's test pushes, or the latest one (id NULL).
-- Index: test_push_pkey, test_push_user.
SELECT test_push_id::text AS id, requested_at, picked_up_at, access_at, written_at, read_back_at, removed_at, failure,
       extract(epoch FROM calendar_sync.now() - requested_at)::float8 AS age_seconds
FROM calendar_sync.test_push
WHERE tenant_id = %(tenant_id)s AND user_id = %(user_id)s
  AND (%(test_push_id)s::uuid IS NULL OR test_push_id = %(test_push_id)s)
ORDER BY requested_at DESC
LIMIT 1
