-- What a change costs the shared database: fewer indexes to keep, fewer rows to rewrite.

-- Retention walks the jobs by their key: with this index no update of a job could be made in place.
DROP INDEX calendar_sync.job_retention;

-- Nobody reads it.
ALTER TABLE calendar_sync.pushed_event DROP COLUMN html_link;

-- How many pushes in a row began for this pair and never came to an end, as when the daemon died. Counted with the intent, in the
-- row that is written anyway. What is tried in vain and settled is counted by the mark (pending_push.attempts).
ALTER TABLE calendar_sync.pushed_event ADD COLUMN unsettled_starts smallint NOT NULL DEFAULT 0;
