-- Purpose: a transaction about quotas alone waits for a row for a second at most, and ends itself if its daemon is stopped amid it.
-- Index: none.
SELECT set_config('lock_timeout', '1s', true), set_config('idle_in_transaction_session_timeout', '2s', true)
