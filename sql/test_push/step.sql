-- Purpose: a test push has come to this step, or has failed there.
-- Index: the unique key (tenant_id, job_id).
UPDATE calendar_sync.test_push
SET access_at = CASE WHEN %(step)s = 'access' THEN coalesce(access_at, calendar_sync.now()) ELSE access_at END,
    written_at = CASE WHEN %(step)s = 'written' THEN coalesce(written_at, calendar_sync.now()) ELSE written_at END,
    read_back_at = CASE WHEN %(step)s = 'read_back' THEN coalesce(read_back_at, calendar_sync.now()) ELSE read_back_at END,
    removed_at = CASE WHEN %(step)s = 'removed' THEN coalesce(removed_at, calendar_sync.now()) ELSE removed_at END,
    failure = coalesce(failure, %(failure)s)
WHERE tenant_id = %(tenant_id)s AND job_id = %(job_id)s
