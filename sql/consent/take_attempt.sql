-- Purpose: use an attempt up. No row: another callback was first, or its time is over.
-- Index: consent_attempt_pkey.
UPDATE calendar_sync.consent_attempt
SET taken_at = calendar_sync.now()
WHERE state_hash = %(state_hash)s AND taken_at IS NULL AND expires_at > calendar_sync.now()
RETURNING state_hash
