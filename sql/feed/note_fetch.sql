-- Purpose: when a feed was fetched last, for its user to see that the subscription lives. Waits for nobody who has the row.
-- Index: the unique key (token_hash), the primary key.
UPDATE calendar_sync.calendar_feed AS feed
SET last_fetched_at = calendar_sync.now()
WHERE feed.feed_id = (
    SELECT free.feed_id FROM calendar_sync.calendar_feed AS free WHERE free.token_hash = %(token_hash)s FOR UPDATE SKIP LOCKED
)
