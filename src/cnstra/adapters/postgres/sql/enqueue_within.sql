SELECT *
FROM :"schema".enqueue(
    (SELECT id FROM :"schema".queues WHERE name = %(queue)s), %(ids)s::text[],
    %(long_ids)s::text[], %(datas)b::bytea[], %(runs)s::text[], %(max_attempts)s::bigint[],
    %(backoffs)s::text[], %(run_ats)s::float8[], %(priorities)s::bigint[]
)
