-- Purpose: set outbox rows aside with their reasons.
-- Index: outbox_pkey.
INSERT INTO calendar_sync.rejected_event (outbox_id, tenant_id, job_id, event_type, payload, created_at, reason)
SELECT outbox.id, outbox.tenant_id, outbox.job_id, outbox.event_type, outbox.payload, outbox.created_at, rejected.reason
FROM unnest(%(ids)s::bigint[], %(reasons)s::text[]) AS rejected (id, reason)
-- The limit has each row looked up by its key: see apply_rows.
CROSS JOIN LATERAL (
    SELECT id, tenant_id, job_id, event_type, payload, created_at FROM calendar_sync.outbox WHERE outbox.id = rejected.id LIMIT 1
) AS outbox
