-- Purpose: a test push goes into the queue, as one outbox row that the relay knows by its record.
-- Index: test_push_pkey.
SELECT calendar_sync.enqueue_test_push(%(test_push_id)s)
