-- Purpose: the payloads of some of the rows that this transaction holds; of an oversized one NULL.
-- Index: outbox_pkey.
SELECT id, CASE WHEN octet_length(payload) <= %(max_payload_bytes)s THEN payload END AS payload
FROM (
    SELECT id, payload::text AS payload FROM calendar_sync.outbox WHERE id = ANY (%(ids)s::bigint[]) OFFSET 0
) AS texts
