-- Purpose: the figures of `daemon.py status`: those of monitoring, and what is used of Google's quotas.
-- Index: see metrics/read_figures; request_hour_pkey, quota_pkey, lane_leased.
SELECT figures.*,
    (SELECT count(*) FROM calendar_sync.lane WHERE lease_token IS NOT NULL) AS lanes_leased,
    (SELECT coalesce(sum(requests), 0)::bigint FROM calendar_sync.request_hour
     WHERE hour >= date_trunc('hour', calendar_sync.now()) - interval '24 hours') AS google_requests_24_hours,
    (SELECT coalesce(sum(charge.value::bigint), 0)::bigint
     FROM calendar_sync.quota, jsonb_each_text(quota.charges) AS charge
     WHERE quota.scope = 'project' AND charge.key::bigint > extract(epoch FROM calendar_sync.now())) AS google_quota_units_in_use
FROM calendar_sync.figures
