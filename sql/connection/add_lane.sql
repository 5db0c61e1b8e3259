-- Purpose: there is a lane for this calendar.
-- Index: lane_pkey.
INSERT INTO calendar_sync.lane (tenant_id, calendar_id) VALUES (%(tenant_id)s, %(calendar_id)s) ON CONFLICT DO NOTHING
