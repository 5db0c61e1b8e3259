-- Purpose: remove the rows that this transaction has dealt with.
-- Index: outbox_pkey.
DELETE FROM calendar_sync.outbox WHERE id = ANY (%(ids)s::bigint[])
