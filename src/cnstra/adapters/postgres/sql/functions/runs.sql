-- Take the next epoch of each run, known or not, and return what is stored. The progress is read
-- by a statement of its own: only that sees what was committed while we waited for the row.
CREATE FUNCTION :"schema".load_runs(wanted text[], moment float8)
RETURNS TABLE (
    run text, epoch bigint, seq bigint, held boolean, result bytea, keys text[], "values" bytea[]
)
LANGUAGE plpgsql
SET jit = off SET enable_seqscan = off
AS $$
#variable_conflict use_column
DECLARE
    old text[];
BEGIN
    WITH taken AS (
        INSERT INTO :"schema".runs AS stored (run, epoch, seq, released)
        SELECT DISTINCT one, 1, 0, 0 FROM unnest(wanted) AS one ORDER BY one
        ON CONFLICT (run) DO UPDATE
        SET epoch = stored.epoch + 1,
            released = CASE WHEN stored.expires_at <= moment THEN stored.epoch
                ELSE stored.released END,
            result = CASE WHEN stored.expires_at <= moment THEN NULL ELSE stored.result END,
            expires_at = CASE WHEN stored.expires_at <= moment THEN NULL
                ELSE stored.expires_at END
        RETURNING stored.run, stored.epoch, stored.seq
    )
    SELECT array_agg(taken.run) INTO old FROM taken WHERE taken.epoch > 1;
    IF old IS NULL THEN
        RETURN QUERY
        SELECT stored.run, stored.epoch, stored.seq, false, NULL::bytea, NULL::text[],
            NULL::bytea[]
        FROM :"schema".runs AS stored
        WHERE stored.run = ANY (wanted);
        RETURN;
    END IF;
    RETURN QUERY
    SELECT stored.run, stored.epoch, stored.seq,
        stored.released <> stored.epoch - 1 AND stored.result IS NULL, stored.result,
        saved.keys, saved.values
    FROM :"schema".runs AS stored
    LEFT JOIN LATERAL (
        SELECT array_agg(one.key) AS keys, array_agg(one.value) AS "values"
        FROM :"schema".progress AS one
        WHERE one.run = stored.run
    ) AS saved ON true
    WHERE stored.run = ANY (wanted);
END
$$;

CREATE FUNCTION :"schema".load_now(wanted text[])
RETURNS TABLE (
    run text, epoch bigint, seq bigint, held boolean, result bytea, keys text[], "values" bytea[]
)
LANGUAGE sql
AS $$ SELECT * FROM :"schema".load_runs(wanted, :"schema".the_time()) $$;

-- Patches of some runs, each applied whole or not at all; no run is named twice. `results` makes
-- a write the run's last. For each: whether it was applied, and the epoch and the number that the
-- run has now.
CREATE FUNCTION :"schema".commit_runs(
    runs text[], epochs bigint[], seqs bigint[], releases boolean[], results bytea[],
    keeps float8[], deleted_from text[], deleted_keys text[], put_into text[], put_keys text[],
    put_values bytea[]
)
RETURNS TABLE (applied boolean, epoch bigint, seq bigint)
LANGUAGE plpgsql
SET jit = off SET enable_seqscan = off SET enable_hashjoin = off SET enable_mergejoin = off
AS $$
#variable_conflict use_column
DECLARE
    moment float8 := :"schema".the_time();
    done text[];
    finished text[];
BEGIN
    WITH advanced AS (
        UPDATE :"schema".runs AS stored
        SET seq = given.seq,
            released = CASE WHEN given.release OR given.result IS NOT NULL THEN stored.epoch
                ELSE stored.released END,
            result = given.result,
            expires_at = CASE WHEN given.result IS NOT NULL THEN moment + given.keep END
        FROM unnest(runs, epochs, seqs, releases, results, keeps)
            AS given(run, epoch, seq, release, result, keep)
        WHERE stored.run = given.run
        AND stored.epoch = given.epoch
        AND stored.seq < given.seq
        AND stored.result IS NULL
        RETURNING stored.run, given.result IS NOT NULL AS is_over
    )
    SELECT coalesce(array_agg(run), '{}'), array_agg(run) FILTER (WHERE is_over)
    INTO done, finished
    FROM advanced;
    IF finished IS NOT NULL THEN
        DELETE FROM :"schema".progress AS saved WHERE saved.run = ANY (finished);
        DELETE FROM :"schema".runs AS stored
        WHERE stored.run IN (
            SELECT expired.run
            FROM :"schema".runs AS expired
            WHERE expired.expires_at <= moment
            ORDER BY expired.expires_at
            LIMIT 4 * cardinality(finished)
            FOR UPDATE SKIP LOCKED
        );
    END IF;
    IF cardinality(deleted_from) > 0 THEN
        DELETE FROM :"schema".progress AS saved
        USING unnest(deleted_from, deleted_keys) AS given(run, key)
        WHERE saved.run = given.run
        AND saved.key = given.key
        AND given.run = ANY (done);
    END IF;
    IF cardinality(put_into) > 0 THEN
        INSERT INTO :"schema".progress AS saved (run, key, value)
        SELECT given.run, given.key, given.value
        FROM unnest(put_into, put_keys, put_values) AS given(run, key, value)
        WHERE given.run = ANY (done)
        ON CONFLICT (run, key) DO UPDATE
        SET value = excluded.value;
    END IF;
    RETURN QUERY
    SELECT given.run = ANY (done), coalesce(stored.epoch, 0), coalesce(stored.seq, 0)
    FROM unnest(runs) WITH ORDINALITY AS given(run, n)
    LEFT JOIN :"schema".runs AS stored ON stored.run = given.run
    ORDER BY given.n;
END
$$;

CREATE FUNCTION :"schema".forget_runs(forgotten text[]) RETURNS void
LANGUAGE plpgsql
SET jit = off SET enable_seqscan = off
AS $$
BEGIN
    DELETE FROM :"schema".runs WHERE run = ANY (forgotten);
    DELETE FROM :"schema".progress WHERE run = ANY (forgotten);
END
$$;
