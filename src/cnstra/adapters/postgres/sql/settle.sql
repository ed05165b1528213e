SELECT ended.verdicts, next.*
FROM :"schema".settle(
    %(queue)s, %(keep)s, %(ids)s::text[], %(tokens)s::text[], %(kinds)s::text[],
    %(delays)s::float8[], %(errors)s::text[], %(details)s::text[], %(results)b::bytea[],
    %(runs)s::text[], %(epochs)s::bigint[], %(seqs)s::bigint[], %(wants)s::boolean[]
) AS ended
LEFT JOIN LATERAL (
    SELECT *
    FROM :"schema".claim(
        %(queue)s, ended.free, %(token)s, %(lease)s, %(rate_jobs)s, %(rate_per)s,
        %(unheard)s::text[]
    )
    WHERE ended.free > 0
) AS next ON true
