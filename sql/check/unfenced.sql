-- Purpose: whether there is a role for the web app, and which tables of users' rows it may use that have no row-level security.
-- Index: none; the catalogue.
SELECT EXISTS (SELECT FROM pg_roles WHERE rolname = 'calendar_sync_web') AS has_role,
       ARRAY(
           SELECT pg_class.relname::text
           FROM pg_class
           JOIN pg_roles ON pg_roles.rolname = 'calendar_sync_web'
           WHERE pg_class.relnamespace = 'calendar_sync'::regnamespace
             AND pg_class.relkind = 'r'
             AND NOT pg_class.relrowsecurity
             AND has_any_column_privilege(pg_roles.oid, pg_class.oid, 'SELECT, INSERT, UPDATE')
             AND EXISTS (SELECT FROM pg_attribute WHERE attrelid = pg_class.oid AND attname = 'tenant_id')
           ORDER BY pg_class.relname
       ) AS tables
