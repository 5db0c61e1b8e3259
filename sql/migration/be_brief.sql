-- Purpose: until the end of this transaction wait for a lock for so long at most.
-- Index: none.
SELECT set_config('lock_timeout', %(lock_timeout)s, true)
