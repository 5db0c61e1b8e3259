-- Purpose: the jobs of a feed, nearest first, as they were at the visit. Read row by row: the text is made of a row when it is fetched.
-- Index: as for the visit, and job_pkey.
SELECT job_id, cancelled, revision, updated_at, payload::text AS payload
FROM calendar_sync.feed_jobs(%(token_hash)s, %(moment)s)
