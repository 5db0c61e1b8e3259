-- Purpose: keep out, until this transaction ends, whoever changes who wants what for these tenants (they take the same
-- lock exclusively), and let other relays in. In a statement of its own, before anything is read: without it a relay and
-- a user who connects could each miss the other's rows. Answers the tenants it got; one that is being changed at this
-- moment is not waited for, because everybody else would wait too.
SELECT tenant_id
FROM unnest(%(tenant_ids)s::text[]) AS t (tenant_id)
WHERE pg_try_advisory_xact_lock_shared(1668246899, hashtext(tenant_id))
