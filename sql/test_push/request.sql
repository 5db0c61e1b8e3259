-- Purpose: a user's test push goes on record.
-- Index: the unique key (tenant_id, user_id).
INSERT INTO calendar_sync.test_push (test_push_id, tenant_id, user_id, calendar_id, job_id)
SELECT %(test_push_id)s, tenant_id, user_id, calendar_id, %(job_id)s
FROM calendar_sync.calendar_connection
WHERE tenant_id = %(tenant_id)s AND user_id = %(user_id)s
