-- Purpose: what keeps dead rows from being cleaned up, and for how long; and what it cannot be told.
-- Index: none; what the server knows of its sessions. Standbys are seen only by who may read all statistics.
SELECT calendar_sync.oldest_transaction_seconds() AS oldest_seconds,
       pg_has_role(current_user, 'pg_read_all_stats', 'USAGE') AS sees_all,
       (SELECT array_agg(gid ORDER BY gid) FROM pg_prepared_xacts
        WHERE database = current_database() AND prepared < clock_timestamp() - make_interval(secs => %(seconds)s)) AS prepared,
       (SELECT array_agg(slot_name::text ORDER BY slot_name) FROM pg_replication_slots
        WHERE (xmin IS NOT NULL OR catalog_xmin IS NOT NULL) AND NOT active) AS idle_slots,
       (SELECT array_agg(slot_name::text ORDER BY slot_name) FROM pg_replication_slots
        WHERE age(xmin) > %(transactions)s AND active) AS slots_behind,
       (SELECT count(*) FROM pg_stat_replication WHERE age(backend_xmin) > %(transactions)s) AS standbys_behind
