-- Purpose: put rejected rows back into the outbox under their own ids, so that a newer row applied meanwhile stays newer.
-- Index: rejected_event_pkey.
WITH replayed AS (
    DELETE FROM calendar_sync.rejected_event
    WHERE %(ids)s::bigint[] IS NULL OR outbox_id = ANY (%(ids)s::bigint[])
    RETURNING outbox_id, tenant_id, job_id, event_type, payload, created_at
)
INSERT INTO calendar_sync.outbox (id, tenant_id, job_id, event_type, payload, created_at)
OVERRIDING SYSTEM VALUE
SELECT outbox_id, tenant_id, job_id, event_type, payload, created_at FROM replayed
