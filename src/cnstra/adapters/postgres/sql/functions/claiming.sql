CREATE FUNCTION :"schema".bury(
    the_seq bigint, moment float8, the_token text, the_error text, used int
)
RETURNS void
LANGUAGE plpgsql
AS $$
BEGIN
    UPDATE :"schema".jobs
    SET state = 'dead', rank = moment, token = the_token, finished_at = moment, error = the_error,
        attempts_made = attempts_made + used
    WHERE seq = the_seq;
END
$$;

-- Make due what was delayed until now, and what a lease held until now. Returns how many jobs.
CREATE FUNCTION :"schema".promote(the_queue int, moment float8, at_most int) RETURNS int
LANGUAGE plpgsql
AS $$
DECLARE
    delayed int;
    stalled text[];
    one record;
BEGIN
    WITH due AS (
        SELECT seq
        FROM :"schema".jobs
        WHERE queue = the_queue
        AND state = 'delayed'
        AND rank <= moment
        ORDER BY rank
        LIMIT at_most
        FOR UPDATE SKIP LOCKED
    )
    UPDATE :"schema".jobs
    SET state = 'waiting', rank = -priority
    FROM due
    WHERE jobs.seq = due.seq;
    GET DIAGNOSTICS delayed = ROW_COUNT;
    FOR one IN
        WITH due AS (
            SELECT seq
            FROM :"schema".jobs
            WHERE queue = the_queue
            AND state = 'active'
            AND rank <= moment
            ORDER BY rank
            LIMIT at_most
            FOR UPDATE SKIP LOCKED
        )
        UPDATE :"schema".jobs
        SET state = 'waiting', rank = -priority, token = NULL
        FROM due
        WHERE jobs.seq = due.seq
        RETURNING jobs.seq, coalesce(long_id, id) AS job, run, cancelled
    LOOP
        stalled := stalled || one.job;
        PERFORM :"schema".record(the_queue, ARRAY['stalled'], ARRAY[one.job], NULL);
        IF one.cancelled THEN
            PERFORM :"schema".bury(one.seq, moment, NULL, :"schema".cancelled_error(), 0);
            PERFORM :"schema".record(
                the_queue, ARRAY['dead'], ARRAY[one.job], ARRAY[:"schema".cancelled_headline()]
            );
            -- Refuse all that the earlier holder may still send, without anybody taking over.
            UPDATE :"schema".runs
            SET epoch = epoch + 1, released = epoch + 1
            WHERE run = one.run;
        END IF;
    END LOOP;
    RETURN delayed + coalesce(cardinality(stalled), 0);
END
$$;

CREATE FUNCTION :"schema".remove_expired(the_queue int, moment float8, at_most int) RETURNS void
LANGUAGE plpgsql
AS $$
DECLARE
    forgotten text[];
BEGIN
    WITH gone AS (
        SELECT seq
        FROM :"schema".jobs
        WHERE queue = the_queue
        AND state = 'completed'
        AND rank <= moment
        ORDER BY rank
        LIMIT at_most
        FOR UPDATE SKIP LOCKED
    ), removed AS (
        DELETE FROM :"schema".jobs USING gone WHERE jobs.seq = gone.seq RETURNING run
    )
    SELECT array_agg(run) INTO forgotten FROM removed;
    IF forgotten IS NOT NULL THEN
        PERFORM :"schema".forget_runs(forgotten);
    END IF;
END
$$;

-- Put back what was leased under these tokens for a caller who never heard of it.
CREATE FUNCTION :"schema".give_back(the_queue int, tokens text[]) RETURNS void
LANGUAGE plpgsql
SET jit = off SET enable_seqscan = off
AS $$
DECLARE
    released_runs text[];
    given_back text[];
BEGIN
    WITH returned AS (
        UPDATE :"schema".jobs
        SET state = 'waiting', rank = -priority, token = NULL
        WHERE queue = the_queue
        AND state = 'active'
        AND token = ANY (tokens)
        RETURNING run, coalesce(long_id, id) AS job
    )
    SELECT array_agg(run), array_agg(job) INTO released_runs, given_back FROM returned;
    IF given_back IS NULL THEN
        RETURN;
    END IF;
    UPDATE :"schema".runs
    SET released = epoch
    WHERE run = ANY (released_runs)
    AND result IS NULL;
    PERFORM :"schema".record(
        the_queue, array_fill('requeued'::text, ARRAY[cardinality(given_back)]), given_back, NULL
    );
    PERFORM :"schema".ring(the_queue);
END
$$;

-- In how many seconds a job can be had, as far as is known by now.
CREATE FUNCTION :"schema".due_in(the_queue int, moment float8) RETURNS float8
LANGUAGE plpgsql
AS $$
BEGIN
    IF EXISTS (SELECT FROM :"schema".jobs WHERE queue = the_queue AND state = 'waiting') THEN
        RETURN 0.05;  -- others have locked them, and may leave them
    END IF;
    RETURN least(
        (SELECT min(rank) FROM :"schema".jobs WHERE queue = the_queue AND state = 'delayed'),
        (SELECT min(rank) FROM :"schema".jobs WHERE queue = the_queue AND state = 'active')
    ) - moment;
END
$$;

-- Lease up to `wanted` due jobs, in one step with the epoch and the progress of their runs. Where
-- there is none, one row says in `due_in` when there may be one: null means that nobody knows.
CREATE FUNCTION :"schema".claim(
    the_queue int, wanted int, the_token text, lease float8, rate_jobs int, rate_per float8,
    unheard text[]
)
RETURNS TABLE (
    due_in float8, id text, data bytea, token text, run text, attempts_made bigint,
    max_attempts bigint, backoff text, created_at float8, priority bigint, epoch bigint,
    run_seq bigint, held boolean, result bytea, keys text[], "values" bytea[]
)
LANGUAGE plpgsql
SET jit = off SET enable_seqscan = off SET enable_bitmapscan = off
AS $$
#variable_conflict use_column
DECLARE
    moment float8;
    allowed int := wanted;
    opened_at float8;
    started int;
    promoted int;
    leased bigint[];
    runs text[];
    jobs text[];
    attempts text[];
BEGIN
    IF cardinality(unheard) > 0 THEN
        PERFORM :"schema".give_back(the_queue, unheard);
    END IF;
    IF (SELECT paused FROM :"schema".queues AS one WHERE one.id = the_queue) THEN
        RETURN QUERY SELECT NULL::float8, NULL, NULL::bytea, NULL, NULL, NULL::bigint,
            NULL::bigint, NULL, NULL::float8, NULL::bigint, NULL::bigint, NULL::bigint,
            NULL::boolean, NULL::bytea, NULL::text[], NULL::bytea[];
        RETURN;
    END IF;
    promoted := :"schema".promote(the_queue, :"schema".the_time(), greatest(1000, wanted));
    IF rate_jobs IS NOT NULL AND EXISTS (
        SELECT FROM :"schema".jobs AS one WHERE one.queue = the_queue AND one.state = 'waiting'
    ) THEN
        SELECT one.window_opened_at, one.window_started INTO opened_at, started
        FROM :"schema".queues AS one
        WHERE one.id = the_queue
        FOR UPDATE;
        moment := :"schema".the_time();
        IF opened_at > moment OR moment >= opened_at + rate_per THEN
            opened_at := moment;
            started := 0;
        END IF;
        allowed := least(wanted, rate_jobs - started);
    ELSE
        moment := :"schema".the_time();
    END IF;
    WITH due AS (
        SELECT one.seq
        FROM :"schema".jobs AS one
        WHERE one.queue = the_queue
        AND one.state = 'waiting'
        ORDER BY one.rank, one.seq
        LIMIT greatest(allowed, 0)
        FOR UPDATE SKIP LOCKED
    ), taken AS (
        UPDATE :"schema".jobs AS one
        SET state = 'active', rank = moment + lease, token = the_token
        FROM due
        WHERE one.seq = due.seq
        RETURNING one.seq, one.run, coalesce(one.long_id, one.id) AS job, one.priority,
            one.attempts_made
    )
    SELECT array_agg(seq), array_agg(taken.run), array_agg(job ORDER BY -taken.priority, seq),
        array_agg(
            format('{"attempt": %s}', taken.attempts_made + 1) ORDER BY -taken.priority, seq
        )
    INTO leased, runs, jobs, attempts
    FROM taken;
    IF promoted > coalesce(cardinality(leased), 0) THEN
        PERFORM :"schema".ring(the_queue);
    END IF;
    PERFORM :"schema".remove_expired(the_queue, moment, 4 + 2 * wanted);
    IF leased IS NULL THEN
        RETURN QUERY SELECT
            CASE WHEN allowed <= 0 THEN opened_at + rate_per - moment
                ELSE :"schema".due_in(the_queue, moment) END,
            NULL, NULL::bytea, NULL, NULL, NULL::bigint,
            NULL::bigint, NULL, NULL::float8, NULL::bigint, NULL::bigint, NULL::bigint,
            NULL::boolean, NULL::bytea, NULL::text[], NULL::bytea[];
        RETURN;
    END IF;
    IF rate_jobs IS NOT NULL THEN
        UPDATE :"schema".queues AS one
        SET window_opened_at = opened_at, window_started = started + cardinality(leased)
        WHERE one.id = the_queue;
    END IF;
    PERFORM :"schema".record(
        the_queue, array_fill('started'::text, ARRAY[cardinality(leased)]), jobs, attempts
    );
    RETURN QUERY
    SELECT 0::float8, coalesce(one.long_id, one.id), one.data, one.token, one.run,
        one.attempts_made, one.max_attempts, one.backoff, one.created_at, one.priority,
        loaded.epoch, loaded.seq, loaded.held, loaded.result, loaded.keys, loaded.values
    FROM :"schema".load_runs(runs, moment) AS loaded
    JOIN :"schema".jobs AS one ON one.seq = ANY (leased) AND one.run = loaded.run
    ORDER BY -one.priority, one.seq;
END
$$;

-- For each lease: whether it was kept for `lease` seconds more, and whether its job is cancelled.
CREATE FUNCTION :"schema".renew(the_queue int, ids text[], tokens text[], lease float8)
RETURNS TABLE (kept boolean, cancelled boolean)
LANGUAGE plpgsql
SET jit = off SET enable_seqscan = off SET enable_hashjoin = off SET enable_mergejoin = off
AS $$
#variable_conflict use_column
DECLARE
    until float8 := :"schema".the_time() + lease;
    kept_ids text[];
    cancelled_ids text[];
BEGIN
    WITH held AS (
        SELECT one.seq
        FROM unnest(ids, tokens) AS given(id, token)
        JOIN :"schema".jobs AS one
            ON one.queue = the_queue AND one.id = given.id AND one.token = given.token
        WHERE one.state = 'active'
        ORDER BY one.seq
        FOR UPDATE OF one
    ), renewed AS (
        UPDATE :"schema".jobs AS one
        SET rank = until
        WHERE one.seq IN (SELECT held.seq FROM held)
        RETURNING one.id || ' ' || one.token AS lease_id, one.cancelled
    )
    SELECT array_agg(lease_id), array_agg(lease_id) FILTER (WHERE renewed.cancelled)
    INTO kept_ids, cancelled_ids
    FROM renewed;
    RETURN QUERY
    SELECT coalesce(given.id || ' ' || given.token = ANY (kept_ids), false),
        coalesce(given.id || ' ' || given.token = ANY (cancelled_ids), false)
    FROM unnest(ids, tokens) WITH ORDINALITY AS given(id, token, n)
    ORDER BY given.n;
END
$$;
