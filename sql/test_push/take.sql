-- Purpose: the test push behind a mark, as the holder of the lane reads it. No row: it is forgotten.
-- Index: the unique key (tenant_id, job_id).
SELECT user_id, requested_at, failure IS NOT NULL OR removed_at IS NOT NULL AS over,
       extract(epoch FROM calendar_sync.now() - requested_at)::float8 AS age_seconds
FROM calendar_sync.test_push
WHERE tenant_id = %(tenant_id)s AND job_id = %(job_id)s
