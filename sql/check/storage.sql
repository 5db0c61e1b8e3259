-- Purpose: storage options of the tables that churn that are not as the migrations set them.
-- Index: none; the catalogue.
SELECT wanted.relation, wanted.option, found.option AS found
FROM (VALUES
    ('outbox', 'autovacuum_vacuum_scale_factor=0'),
    ('outbox', 'autovacuum_vacuum_threshold=1000'),
    ('outbox', 'autovacuum_vacuum_cost_delay=0'),
    ('outbox', 'autovacuum_analyze_scale_factor=0'),
    ('outbox', 'autovacuum_analyze_threshold=10000'),
    ('job', 'fillfactor=85'),
    ('job', 'autovacuum_vacuum_scale_factor=0.05'),
    ('lane', 'fillfactor=50'),
    ('lane', 'autovacuum_vacuum_scale_factor=0'),
    ('lane', 'autovacuum_vacuum_threshold=1000'),
    ('lane', 'autovacuum_vacuum_cost_delay=0'),
    ('pending_push', 'fillfactor=70'),
    ('pending_push', 'autovacuum_vacuum_scale_factor=0'),
    ('pending_push', 'autovacuum_vacuum_threshold=1000'),
    ('pending_push', 'autovacuum_vacuum_cost_delay=0'),
    ('pushed_event', 'fillfactor=50'),
    ('pushed_event', 'autovacuum_vacuum_scale_factor=0.05'),
    ('quota', 'fillfactor=50'),
    ('quota', 'autovacuum_vacuum_scale_factor=0'),
    ('quota', 'autovacuum_vacuum_threshold=1000'),
    ('quota', 'autovacuum_vacuum_cost_delay=0'),
    ('rate_limit', 'fillfactor=70'),
    ('request_hour', 'fillfactor=50'),
    ('token_refresh', 'fillfactor=70'),
    ('token_refresh', 'autovacuum_vacuum_scale_factor=0'),
    ('token_refresh', 'autovacuum_vacuum_threshold=1000')
) AS wanted(relation, option)
LEFT JOIN pg_class ON pg_class.relnamespace = 'calendar_sync'::regnamespace AND pg_class.relname = wanted.relation
LEFT JOIN LATERAL unnest(pg_class.reloptions) AS found(option)
    ON split_part(found.option, '=', 1) = split_part(wanted.option, '=', 1)
WHERE found.option IS DISTINCT FROM wanted.option
