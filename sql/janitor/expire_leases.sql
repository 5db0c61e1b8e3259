-- Purpose: put back lanes whose holder died: nobody settled them before the lease ended by the server's clock.
-- Index: lane_leased. In slices; a lane that somebody settles at this moment is left to him. Rows that are held stay where they are.
WITH expired AS (
    SELECT ctid
    FROM calendar_sync.lane
    WHERE lease_token IS NOT NULL AND lease_expires_at <= calendar_sync.now()
    ORDER BY lease_expires_at
    LIMIT %(limit)s
    FOR NO KEY UPDATE SKIP LOCKED
)
UPDATE calendar_sync.lane
SET lease_token = NULL, lease_expires_at = NULL
WHERE ctid = ANY (ARRAY(SELECT ctid FROM expired))
