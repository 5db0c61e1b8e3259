-- Purpose: forget hours that are long over.
-- Index: request_hour_pkey.
DELETE FROM calendar_sync.request_hour WHERE hour < calendar_sync.now() - interval '8 days'
