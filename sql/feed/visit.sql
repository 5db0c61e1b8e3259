-- Purpose: a feed by its token's hash, and a fingerprint of what it would show; no row: there is no such feed.
-- Index: the unique key (token_hash); job_upcoming forwards and backwards, job_cancelled.
SELECT feed_id, tenant_id, job_filter, moment, fetched_lately, fingerprint FROM calendar_sync.visit_feed(%(token_hash)s)
