-- Purpose: for whom this session acts: which rows the policies of sql/roles.sql show it. Outside of any transaction, so that none takes it back.
-- Index: none.
SELECT set_config('calendar_sync.tenant_id', %(tenant_id)s, false), set_config('calendar_sync.user_id', %(user_id)s, false),
       set_config('calendar_sync.presented', %(presented)s, false)
