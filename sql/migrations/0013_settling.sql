-- What it costs to settle: fewer walks over what is settled, and room for the answers.

-- A lane's due time is worked out in one walk over its marks. Merged into what asks for it, as the planner would (OFFSET 0 keeps it from that), the
-- sub-select was evaluated for each place that names its columns: four walks, over every mark settled since a transaction began that stays open.
CREATE OR REPLACE VIEW calendar_sync.lane_due AS
SELECT lane.tenant_id, lane.calendar_id,
       greatest(
           least(pending.live_from,
                 CASE WHEN pending.backlog_from IS NOT NULL
                      THEN greatest(pending.backlog_from, lane.backlog_not_before) END),
           lane.not_before
       ) AS due_at,
       CASE WHEN pending.live_from IS NOT NULL THEN greatest(pending.live_from, lane.not_before) END AS live_due_at,
       pending.live_from, pending.backlog_from
FROM calendar_sync.lane
CROSS JOIN LATERAL (
    SELECT (
        SELECT min(live.due_at)
        FROM calendar_sync.pending_push AS live
        WHERE live.tenant_id = lane.tenant_id AND live.calendar_id = lane.calendar_id
          AND live.priority = 0 AND live.due_at IS NOT NULL
    ) AS live_from, least((
        SELECT min(backfill.due_at)
        FROM calendar_sync.pending_push AS backfill
        WHERE backfill.tenant_id = lane.tenant_id AND backfill.calendar_id = lane.calendar_id
          AND backfill.priority = 1 AND backfill.due_at IS NOT NULL
    ), (
        SELECT min(clean_up.due_at)
        FROM calendar_sync.pending_push AS clean_up
        WHERE clean_up.tenant_id = lane.tenant_id AND clean_up.calendar_id = lane.calendar_id
          AND clean_up.priority = 2 AND clean_up.due_at IS NOT NULL
    )) AS backlog_from
    OFFSET 0
) AS pending
WHERE (pending.live_from IS NOT NULL OR pending.backlog_from IS NOT NULL)
  AND EXISTS (
    SELECT FROM calendar_sync.calendar_writer
    WHERE calendar_writer.tenant_id = lane.tenant_id AND calendar_writer.calendar_id = lane.calendar_id
)
  AND ((SELECT calendar_sync.sees_every_tenant()) OR lane.tenant_id = current_setting('calendar_sync.tenant_id', true));


-- A pair is stored small, before the call, and grows when it is settled. With half a page free it mostly grows in place, and its key's index is left
-- alone: a fifteenth less is written for each delivery at a fan-out of five, for half a kilobyte of disk a pair instead of a third. What is there already
-- stays as it is.
ALTER TABLE calendar_sync.pushed_event SET (fillfactor = 50);
