-- Purpose: take the oldest outbox rows that no other relay holds, and hold them until this transaction ends.
-- Index: outbox_pkey. Why this shape: nothing leaves the database in this transaction, so a row lock is the whole lease;
-- rows are chosen by being there, never by "id > last seen", because ids become visible out of commit order. The lowest id is a hint that spares
-- walking over what was deleted and cannot be cleaned up yet; now and then it is 0.
-- A small payload that is not compressed comes with its row. The others are read afterwards, in portions of bounded size: what they take as
-- stored is known without unpacking them.
-- Tenants that were being changed a moment ago are passed over, so that nobody else waits for them.
SELECT id, tenant_id, job_id, event_type, pg_column_size(payload) AS stored_bytes,
       CASE WHEN pg_column_size(payload) <= %(small_bytes)s AND pg_column_compression(payload) IS NULL THEN payload::text END AS payload
FROM calendar_sync.outbox
WHERE id >= %(lowest_id)s
  AND tenant_id <> ALL (%(passed_over)s::text[])
ORDER BY id
LIMIT %(limit)s
FOR UPDATE SKIP LOCKED
