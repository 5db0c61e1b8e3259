-- Purpose: for the rest of this transaction, which is about something else as well, a row that somebody holds is hardly waited for.
-- Index: none.
SELECT set_config('lock_timeout', '50ms', true)
