-- Purpose: whether a commit into the outbox wakes the daemons, or they find it when they look next.
-- Index: none; the catalogue.
SELECT EXISTS (
    SELECT FROM pg_trigger
    WHERE pg_trigger.tgrelid = 'calendar_sync.outbox'::regclass
      AND pg_trigger.tgname = 'notify_outbox'
      AND pg_trigger.tgenabled IN ('O', 'A')
)
