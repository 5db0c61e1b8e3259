-- Purpose: take the oldest outbox rows that no other relay holds, and hold them until this transaction ends.
-- Index: outbox_pkey. Why this shape: nothing leaves the database in this transaction, so a row lock is the whole lease;
-- rows are chosen by being there, never by "id > last seen", because ids become visible out of commit order.
-- A batch is bounded in bytes too, since it is read within the transaction: rows beyond are let go at its end. The payload of
-- an oversized row stays behind (NULL), and counts for nothing.
-- Tenants that were being changed a moment ago are passed over, so that nobody else waits for them.
WITH claimed AS (
    SELECT id, tenant_id, job_id, event_type, payload
    FROM calendar_sync.outbox
    WHERE tenant_id <> ALL (%(passed_over)s::text[])
    ORDER BY id
    LIMIT %(limit)s
    FOR UPDATE SKIP LOCKED
), texts AS MATERIALIZED (
    SELECT id, tenant_id, job_id, event_type, payload::text AS payload FROM claimed
), sized AS (
    SELECT *, sum(CASE WHEN octet_length(payload) <= %(max_payload_bytes)s THEN octet_length(payload) ELSE 0 END)
                  OVER (ORDER BY id ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING) AS bytes_before
    FROM texts
)
SELECT id, tenant_id, job_id, event_type,
       CASE WHEN octet_length(payload) <= %(max_payload_bytes)s THEN payload END AS payload
FROM sized
WHERE coalesce(bytes_before, 0) < %(max_batch_bytes)s
ORDER BY id
