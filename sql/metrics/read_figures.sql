-- Purpose: what monitoring shows of the database, in one row; `calendar_sync.figures` says what each figure is.
-- Index: the primary keys, pending_push_problem, lane_free and lane_leased, each from its first entry on and no further than 10,001; the
-- connections are read as a whole.
SELECT outbox_rows, outbox_oldest_seconds, pending_pushes, oldest_due_seconds, problems, rejected_events, connections, oldest_transaction_seconds
FROM calendar_sync.figures
