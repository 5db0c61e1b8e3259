-- Purpose: how an attempt ended, for a callback that comes a second time.
-- Index: consent_attempt_pkey.
UPDATE calendar_sync.consent_attempt
SET outcome = %(outcome)s
WHERE state_hash = %(state_hash)s AND taken_at IS NOT NULL
