-- Purpose: whether whoever asks may do more than any service needs.
-- Index: none; the catalogue.
SELECT pg_roles.rolsuper OR pg_has_role(schema.nspowner, 'USAGE')
FROM pg_roles, pg_namespace AS schema
WHERE pg_roles.rolname = current_user AND schema.nspname = 'calendar_sync'
