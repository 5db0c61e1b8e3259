-- Purpose: until this transaction ends a statement may take longer than others may: a tenant's rows are erased by one.
SELECT set_config('statement_timeout', '15min', true)
