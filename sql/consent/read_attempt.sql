-- Purpose: what is known of an attempt, whoever asks: its browser is compared before anything of it is told.
-- Index: consent_attempt_pkey.
SELECT tenant_id, user_id, browser_hash, code_verifier, return_to,
       expires_at <= calendar_sync.now() AS expired,
       taken_at IS NOT NULL AS taken,
       outcome
FROM calendar_sync.consent_attempt
WHERE state_hash = %(state_hash)s
