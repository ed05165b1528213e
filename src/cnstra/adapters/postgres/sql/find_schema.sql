SELECT
    EXISTS (SELECT FROM pg_namespace WHERE nspname = %(schema)s),
    coalesce(array_agg(relname::text), '{}') @> '{migrations,event_ids}',
    count(*) > 0
FROM pg_class
JOIN pg_namespace ON pg_namespace.oid = relnamespace
WHERE nspname = %(schema)s
