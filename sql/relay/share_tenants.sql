-- Purpose: keep out, until this transaction ends, whoever changes who wants what for these tenants (they take the same
-- lock exclusively), and let other relays in. In a statement of its own, before anything is read: without it a relay and
-- a user who connects could each miss the other's rows.
-- Sorted and distinct, so that two relays cannot wait for each other.
SELECT pg_advisory_xact_lock_shared(1668246899, key)
FROM (SELECT DISTINCT hashtext(tenant_id) AS key FROM unnest(%(tenant_ids)s::text[]) AS t (tenant_id) ORDER BY 1) AS keys
