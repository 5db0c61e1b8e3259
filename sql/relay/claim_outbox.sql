-- Purpose: take the oldest outbox rows that no other relay holds, and hold them until this transaction ends.
-- Index: outbox_pkey. Why this shape: nothing leaves the database in this transaction, so a row lock is the whole lease;
-- rows are chosen by being there, never by "id > last seen", because ids become visible out of commit order.
-- An oversized payload stays behind: its text is NULL, which the relay rejects.
SELECT id, tenant_id, job_id, event_type,
       CASE WHEN octet_length(payload::text) <= %(max_payload_bytes)s THEN payload::text END AS payload
FROM calendar_sync.outbox
ORDER BY id
LIMIT %(limit)s
FOR UPDATE SKIP LOCKED
