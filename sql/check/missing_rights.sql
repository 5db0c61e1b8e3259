-- Purpose: which of these rights whoever asks does not have.
-- Index: none; the catalogue.
SELECT needed.privilege, needed.object, needed.attribute
FROM unnest(%(kinds)s::text[], %(privileges)s::text[], %(objects)s::text[], %(attributes)s::text[])
    AS needed(kind, privilege, object, attribute)
WHERE NOT CASE needed.kind
    WHEN 'schema' THEN has_schema_privilege(needed.object, needed.privilege)
    WHEN 'function' THEN has_function_privilege(needed.object, needed.privilege)
    WHEN 'sequence' THEN has_sequence_privilege(needed.object, needed.privilege)
    WHEN 'column' THEN has_column_privilege(needed.object, needed.attribute, needed.privilege)
    ELSE has_table_privilege(needed.object, needed.privilege)
END
