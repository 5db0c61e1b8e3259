-- Purpose: a user sets out for Google's consent page; the attempt lives for so many seconds.
-- Index: consent_attempt_pkey.
INSERT INTO calendar_sync.consent_attempt
    (state_hash, tenant_id, user_id, browser_hash, code_verifier, return_to, created_at, expires_at)
VALUES (%(state_hash)s, %(tenant_id)s, %(user_id)s, %(browser_hash)s, %(code_verifier)s, %(return_to)s,
        calendar_sync.now(), calendar_sync.now() + make_interval(secs => %(seconds)s))
