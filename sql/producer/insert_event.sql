-- Purpose: what any producer does, in its own transaction.
INSERT INTO calendar_sync.outbox (tenant_id, job_id, event_type, payload)
VALUES (%(tenant_id)s, %(job_id)s, %(event_type)s, %(payload)s::jsonb)
