SELECT applied, epoch, seq
FROM :"schema".commit_runs(
    %(runs)s::text[], %(epochs)s::bigint[], %(seqs)s::bigint[], %(releases)s::boolean[],
    %(results)b::bytea[], %(keeps)s::float8[], %(deleted_from)s::text[], %(deleted_keys)s::text[],
    %(put_into)s::text[], %(put_keys)s::text[], %(put_values)b::bytea[]
)
