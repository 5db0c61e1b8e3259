-- Purpose: forget consent attempts that ended long ago.
-- Index: consent_attempt_expiry.
DELETE FROM calendar_sync.consent_attempt
WHERE state_hash IN (
    SELECT state_hash FROM calendar_sync.consent_attempt
    WHERE expires_at < calendar_sync.now() - interval '1 day' ORDER BY expires_at LIMIT %(limit)s
)
