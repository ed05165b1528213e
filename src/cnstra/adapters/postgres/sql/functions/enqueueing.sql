-- Add jobs to a queue, in their order. Returns the ids that are new. An id that another transaction
-- is just adding is waited for, not for long.
CREATE FUNCTION :"schema".enqueue(
    the_queue int, ids text[], long_ids text[], datas bytea[], runs text[],
    max_attempts bigint[], backoffs text[], run_ats float8[], priorities bigint[]
)
RETURNS SETOF text
LANGUAGE plpgsql
SET jit = off SET enable_seqscan = off SET lock_timeout = '3s'
AS $$
#variable_conflict use_column
DECLARE
    moment float8 := :"schema".the_time();
    expired text[];
    added text[];
    happened_to text[];
BEGIN
    WITH gone AS (
        DELETE FROM :"schema".jobs
        WHERE queue = the_queue
        AND id = ANY (ids)
        AND state = 'completed'
        AND rank <= moment
        RETURNING run
    )
    SELECT array_agg(run) INTO expired FROM gone;
    IF expired IS NOT NULL THEN
        PERFORM :"schema".forget_runs(expired);
    END IF;
    WITH fresh AS (
        INSERT INTO :"schema".jobs (
            queue, id, long_id, state, rank, priority, max_attempts, created_at, run, backoff, data
        )
        SELECT
            the_queue, given.id, given.long_id,
            CASE WHEN given.run_at > moment THEN 'delayed' ELSE 'waiting' END,
            CASE WHEN given.run_at > moment THEN given.run_at ELSE -given.priority END,
            given.priority, given.max_attempts, moment, given.run, given.backoff, given.data
        FROM unnest(ids, long_ids, datas, runs, max_attempts, backoffs, run_ats, priorities)
            WITH ORDINALITY AS given(
                id, long_id, data, run, max_attempts, backoff, run_at, priority, n
            )
        ORDER BY given.n
        ON CONFLICT DO NOTHING
        RETURNING id
    )
    SELECT array_agg(id) INTO added FROM fresh;
    IF added IS NULL THEN
        RETURN;
    END IF;
    SELECT array_agg(told.id ORDER BY n) INTO happened_to
    FROM (
        SELECT DISTINCT ON (given.id) coalesce(given.long_id, given.id) AS id, given.n
        FROM unnest(ids, long_ids) WITH ORDINALITY AS given(id, long_id, n)
        WHERE given.id = ANY (added)
        ORDER BY given.id, given.n
    ) AS told;
    PERFORM :"schema".record(
        the_queue, array_fill('enqueued'::text, ARRAY[cardinality(added)]), happened_to, NULL
    );
    PERFORM :"schema".ring(the_queue);
    RETURN QUERY SELECT unnest(added);
END
$$;
