-- Purpose: when this user last set out for Google, if he did not come back from that and still could.
-- Index: consent_attempt_user.
SELECT created_at
FROM (
    SELECT created_at, taken_at, expires_at
    FROM calendar_sync.consent_attempt
    WHERE tenant_id = %(tenant_id)s AND user_id = %(user_id)s
    ORDER BY created_at DESC
    LIMIT 1
) AS latest
WHERE taken_at IS NULL AND expires_at > calendar_sync.now()
