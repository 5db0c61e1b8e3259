-- Purpose: how many rows of a tenant's jobs there are, those still in the outbox too.
-- Index: job_pkey; the outbox is small.
SELECT (SELECT count(*) FROM calendar_sync.outbox WHERE tenant_id = %(tenant_id)s)
     + (SELECT count(*) FROM calendar_sync.job WHERE tenant_id = %(tenant_id)s)
