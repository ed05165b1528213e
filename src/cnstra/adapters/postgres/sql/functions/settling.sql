-- Carry out how some deliveries end, each together with the last write of its run (where `epochs`
-- has one), or not at all. Returns for each: null once it is settled, -1 for a lost lease, else
-- the epoch by which it is fenced; and how many of those that want another job are settled.
CREATE FUNCTION :"schema".settle(
    the_queue int, keep float8, ids text[], tokens text[], kinds text[], delays float8[],
    errors text[], details text[], results bytea[], runs text[], epochs bigint[], seqs bigint[],
    wants boolean[], OUT verdicts bigint[], OUT free int
)
LANGUAGE plpgsql
SET jit = off SET enable_seqscan = off
AS $$
#variable_conflict use_column
DECLARE
    moment float8 := :"schema".the_time();
    given record;
    held record;
    found_run record;
    lands boolean;
    happened text[] := '{}';
    happened_to text[] := '{}';
    told text[] := '{}';
    kind text;
    is_due boolean := false;
BEGIN
    verdicts := '{}';
    free := 0;
    IF cardinality(ids) > 1 THEN
        -- In the order in which `renew` takes them, or the two might wait for each other.
        PERFORM FROM :"schema".jobs AS one
        WHERE one.queue = the_queue AND one.id = ANY (ids)
        ORDER BY one.seq
        FOR UPDATE;
    END IF;
    FOR given IN
        SELECT *, one.token || ':' || one.kind AS next_token
        FROM unnest(ids, tokens, kinds, delays, errors, details, results, runs, epochs, seqs, wants)
            WITH ORDINALITY AS one(
                id, token, kind, delay, error, detail, result, run, epoch, seq, wants, n
            )
        ORDER BY one.n
    LOOP
        SELECT one.seq, one.token, one.priority, one.cancelled, coalesce(one.long_id, one.id) AS job
        INTO held
        FROM :"schema".jobs AS one
        WHERE one.queue = the_queue AND one.id = given.id
        FOR UPDATE;
        IF held.token = given.next_token THEN
            verdicts := verdicts || NULL::bigint;
            free := free + given.wants::int;
            CONTINUE;
        END IF;
        IF held.token IS NULL OR held.token <> given.token THEN
            verdicts := verdicts || -1::bigint;
            CONTINUE;
        END IF;
        IF given.epoch IS NOT NULL THEN
            -- A completed job holds its result itself: no run is left that others could write to.
            IF given.kind = 'Completed' THEN
                DELETE FROM :"schema".runs AS stored
                WHERE stored.run = given.run
                AND stored.epoch = given.epoch
                AND stored.seq < given.seq
                AND stored.result IS NULL
                RETURNING stored.seq > 0 INTO lands;
                IF lands THEN
                    DELETE FROM :"schema".progress AS saved WHERE saved.run = given.run;
                END IF;
            ELSE
                UPDATE :"schema".runs AS stored
                SET seq = given.seq, released = stored.epoch
                WHERE stored.run = given.run
                AND stored.epoch = given.epoch
                AND stored.seq < given.seq
                AND stored.result IS NULL
                RETURNING true INTO lands;
            END IF;
            IF lands IS NULL THEN
                SELECT stored.epoch, stored.seq INTO found_run
                FROM :"schema".runs AS stored
                WHERE stored.run = given.run;
                IF found_run.epoch IS DISTINCT FROM given.epoch
                    OR found_run.seq IS DISTINCT FROM given.seq
                THEN
                    verdicts := verdicts || coalesce(found_run.epoch, 0);
                    CONTINUE;
                END IF;
            END IF;
        END IF;
        kind := given.kind;
        IF kind IN ('Retry', 'Requeued') AND held.cancelled THEN
            PERFORM :"schema".bury(
                held.seq, moment, given.next_token, :"schema".cancelled_error(), 0
            );
            happened := happened || 'dead'::text;
            told := told || :"schema".cancelled_headline();
        ELSIF kind = 'Completed' THEN
            UPDATE :"schema".jobs AS one
            SET state = 'completed', rank = moment + keep, token = given.next_token,
                finished_at = moment, error = NULL, result = given.result
            WHERE one.seq = held.seq;
            happened := happened || 'completed'::text;
            told := told || NULL::text;
        ELSIF kind = 'DeadLettered' THEN
            PERFORM :"schema".bury(held.seq, moment, given.next_token, given.error, 1);
            happened := happened || 'dead'::text;
            told := told || given.detail;
        ELSE
            UPDATE :"schema".jobs AS one
            SET state = CASE WHEN given.delay > 0 THEN 'delayed' ELSE 'waiting' END,
                rank = CASE WHEN given.delay > 0 THEN moment + given.delay ELSE -one.priority END,
                token = given.next_token,
                attempts_made = one.attempts_made + (kind = 'Retry')::int,
                error = coalesce(given.error, one.error)
            WHERE one.seq = held.seq;
            happened := happened
                || CASE WHEN kind = 'Retry' THEN 'retried'::text ELSE 'requeued'::text END;
            told := told || given.detail;
            is_due := true;
        END IF;
        happened_to := happened_to || held.job;
        verdicts := verdicts || NULL::bigint;
        free := free + given.wants::int;
    END LOOP;
    PERFORM :"schema".record(the_queue, happened, happened_to, told);
    IF is_due THEN
        PERFORM :"schema".ring(the_queue);
    END IF;
END
$$;
