SELECT *
FROM :"schema".enqueue(
    %(queue)s, %(ids)s::text[], %(long_ids)s::text[], %(datas)b::bytea[],
    %(runs)s::text[], %(max_attempts)s::bigint[], %(backoffs)s::text[],
    -- A delay counts by our own clock, whatever the caller's says.
    ARRAY(
        SELECT coalesce(:"schema".the_time() + given.delay, given.run_at)
        FROM unnest(%(delays)s::float8[], %(run_ats)s::float8[])
            WITH ORDINALITY AS given(delay, run_at, n)
        ORDER BY given.n
    ),
    %(priorities)s::bigint[]
)
