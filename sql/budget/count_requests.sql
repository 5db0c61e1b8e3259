-- Purpose: count requests to Google in the hour that it is.
-- Index: request_hour_pkey. After the row of the project in quota was locked, whoever takes both.
INSERT INTO calendar_sync.request_hour AS counted (hour, requests)
VALUES (date_trunc('hour', calendar_sync.now()), %(requests)s)
ON CONFLICT (hour) DO UPDATE SET requests = counted.requests + excluded.requests
