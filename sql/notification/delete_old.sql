-- Purpose: forget notifications of long ago.
-- Index: notification_age.
DELETE FROM calendar_sync.notification
WHERE id IN (
    SELECT id FROM calendar_sync.notification
    WHERE created_at < calendar_sync.now() - interval '90 days' ORDER BY created_at LIMIT %(limit)s
)
