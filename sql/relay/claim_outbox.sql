-- Purpose: take the oldest outbox rows that no other relay holds, and hold them until this transaction ends.
-- Index: outbox_pkey. Why this shape: nothing leaves the database in this transaction, so a row lock is the whole lease;
-- rows are chosen by being there, never by "id > last seen", because ids become visible out of commit order.
-- Payloads are read afterwards, in portions of bounded size: what they take as stored is known without unpacking them.
-- Tenants that were being changed a moment ago are passed over, so that nobody else waits for them.
SELECT id, tenant_id, job_id, event_type, pg_column_size(payload) AS stored_bytes
FROM calendar_sync.outbox
WHERE tenant_id <> ALL (%(passed_over)s::text[])
ORDER BY id
LIMIT %(limit)s
FOR UPDATE SKIP LOCKED
