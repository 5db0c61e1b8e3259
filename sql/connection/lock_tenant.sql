-- Purpose: be alone with this tenant's wishes until this transaction ends: whatever changes who wants what takes this lock before
-- it reads, and the relay shares it. In a statement of its own.
SELECT pg_advisory_xact_lock(1668246899, hashtext(%(tenant_id)s))
