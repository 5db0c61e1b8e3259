-- Purpose: tests that are under way for a calendar that their user leaves will not be carried out any more.
-- Index: test_push_user.
UPDATE calendar_sync.test_push SET failure = %(failure)s
WHERE tenant_id = %(tenant_id)s AND user_id = %(user_id)s AND failure IS NULL AND removed_at IS NULL
