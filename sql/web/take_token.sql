-- Purpose: refill a bucket by the time that has passed and take one token; no row: there is less than one in it.
-- Index: rate_limit_pkey.
INSERT INTO calendar_sync.rate_limit AS kept (bucket, tokens, refilled_at)
VALUES (%(bucket)s, %(burst)s::double precision - 1, calendar_sync.now())
ON CONFLICT (bucket) DO UPDATE SET
    tokens = least(
        %(burst)s::double precision,
        kept.tokens
        + greatest(extract(epoch FROM excluded.refilled_at - kept.refilled_at)::double precision, 0) * %(per_second)s
    ) - 1,
    -- Of two at once the later may have read the earlier clock.
    refilled_at = greatest(kept.refilled_at, excluded.refilled_at)
WHERE kept.tokens
    + greatest(extract(epoch FROM excluded.refilled_at - kept.refilled_at)::double precision, 0) * %(per_second)s >= 1
RETURNING tokens
