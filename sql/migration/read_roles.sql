-- Purpose: whether this database has given rights to the services' roles; the roles themselves belong to the whole server.
SELECT 1
FROM pg_catalog.pg_namespace AS schema, aclexplode(schema.nspacl) AS acl
JOIN pg_catalog.pg_roles AS grantee ON grantee.oid = acl.grantee
WHERE schema.nspname = 'calendar_sync' AND grantee.rolname = 'calendar_sync_daemon'
