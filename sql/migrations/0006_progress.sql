-- How much there was to do when a calendar began to be filled or emptied. How much of it is done is worked out when somebody looks, from the
-- marks that are still unanswered of those from then: a push writes nothing for it.

ALTER TABLE calendar_sync.lane
    ADD COLUMN filling_since timestamptz,   -- when the calendar was last begun to be filled or gone through; NULL: not since this is recorded
    ADD COLUMN filling_total integer;       -- with so many marks

ALTER TABLE calendar_sync.departure ADD COLUMN total integer; -- with so many marks the emptying began; NULL: it has not

UPDATE calendar_sync.departure
SET total = (
    SELECT count(*) FROM calendar_sync.pending_push AS pending
    WHERE pending.tenant_id = departure.tenant_id
      AND pending.calendar_id = departure.calendar_id
      AND pending.unanswered_since <= departure.emptying_since
      AND NOT starts_with(pending.job_id, 'calendar-sync-test:')
)
WHERE emptying_since IS NOT NULL;
