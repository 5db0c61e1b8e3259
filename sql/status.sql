-- Purpose: the figures of `daemon.py status`.
-- Reads whole small tables (outbox, lane, connections); those of pending_push are counts over what waits.
SELECT
    (SELECT count(*) FROM calendar_sync.outbox) AS outbox_rows,
    (SELECT coalesce(extract(epoch FROM calendar_sync.now() - min(created_at)), 0)::float8 FROM calendar_sync.outbox)
        AS outbox_oldest_seconds,
    (SELECT count(*) FROM calendar_sync.pending_push) AS pending_pushes,
    (SELECT coalesce(greatest(extract(epoch FROM calendar_sync.now() - min(due_at)), 0), 0)::float8
     FROM calendar_sync.lane WHERE due_at IS NOT NULL) AS oldest_due_seconds,
    (SELECT count(*) FROM calendar_sync.pending_push WHERE problem IS NOT NULL) AS problems,
    (SELECT count(*) FROM calendar_sync.rejected_event) AS rejected_events,
    (SELECT coalesce(sum(requests), 0)::bigint FROM calendar_sync.request_hour
     WHERE hour >= date_trunc('hour', calendar_sync.now()) - interval '24 hours') AS google_requests_24_hours,
    (SELECT count(*) FROM calendar_sync.lane WHERE lease_token IS NOT NULL) AS lanes_leased,
    (SELECT count(*) FROM calendar_sync.calendar_connection WHERE state = 'active' AND NOT paused) AS connections_active,
    (SELECT count(*) FROM calendar_sync.calendar_connection
     WHERE state IN ('needs_reconnect', 'calendar_lost')) AS connections_broken
