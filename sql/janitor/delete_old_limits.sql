-- Purpose: forget token buckets that nobody has drawn on for a day; they are full.
-- Index: rate_limit_refilled.
DELETE FROM calendar_sync.rate_limit
WHERE bucket IN (
    SELECT bucket FROM calendar_sync.rate_limit
    WHERE refilled_at < calendar_sync.now() - interval '1 day' ORDER BY refilled_at LIMIT %(limit)s
)
