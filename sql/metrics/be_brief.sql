-- Purpose: a look for monitoring ends itself before whoever asks for it has given up.
-- Index: none.
SELECT set_config('statement_timeout', '3s', true)
