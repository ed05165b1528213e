CREATE FUNCTION :"schema".register(the_name text, OUT queue int, OUT channel text)
LANGUAGE plpgsql
AS $$
BEGIN
    SELECT id INTO queue FROM :"schema".queues WHERE name = the_name;
    IF queue IS NULL THEN
        INSERT INTO :"schema".queues (name) VALUES (the_name) ON CONFLICT DO NOTHING;
        SELECT id INTO queue FROM :"schema".queues WHERE name = the_name;
    END IF;
    channel := :"schema".channel_of(queue);
END
$$;

CREATE FUNCTION :"schema".set_paused(the_queue int, wanted boolean) RETURNS void
LANGUAGE plpgsql
AS $$
BEGIN
    UPDATE :"schema".queues SET paused = wanted WHERE id = the_queue AND paused <> wanted;
    IF FOUND THEN
        PERFORM :"schema".record(
            the_queue, ARRAY[CASE WHEN wanted THEN 'paused' ELSE 'resumed' END], ARRAY[NULL::text],
            NULL
        );
        PERFORM :"schema".ring(the_queue);
    END IF;
END
$$;

CREATE FUNCTION :"schema".cancel(the_queue int, the_id text) RETURNS boolean
LANGUAGE plpgsql
AS $$
DECLARE
    found_job record;
BEGIN
    SELECT seq, state, cancelled, coalesce(long_id, id) AS job INTO found_job
    FROM :"schema".jobs
    WHERE queue = the_queue AND id = the_id
    FOR UPDATE;
    IF found_job.state IN ('waiting', 'delayed') THEN
        PERFORM :"schema".bury(
            found_job.seq, :"schema".the_time(), NULL, :"schema".cancelled_error(), 0
        );
        PERFORM :"schema".record(
            the_queue, ARRAY['cancelled', 'dead'], ARRAY[found_job.job, found_job.job],
            ARRAY['{}', :"schema".cancelled_headline()]
        );
        RETURN true;
    END IF;
    IF found_job.state = 'active' AND NOT found_job.cancelled THEN
        UPDATE :"schema".jobs SET cancelled = true WHERE seq = found_job.seq;
        PERFORM :"schema".record(the_queue, ARRAY['cancelled'], ARRAY[found_job.job], NULL);
    END IF;
    RETURN found_job.state IS NOT NULL AND found_job.state = 'active';
END
$$;

CREATE FUNCTION :"schema".redrive(the_queue int, the_id text) RETURNS boolean
LANGUAGE plpgsql
AS $$
DECLARE
    redriven record;
BEGIN
    UPDATE :"schema".jobs
    SET state = 'waiting', rank = -priority, token = NULL, cancelled = false, attempts_made = 0,
        finished_at = NULL, error = NULL
    WHERE queue = the_queue
    AND id = the_id
    AND state = 'dead'
    RETURNING run, coalesce(long_id, id) AS job INTO redriven;
    IF NOT FOUND THEN
        RETURN false;
    END IF;
    -- The crash counters: a redriven run starts with a clean slate.
    DELETE FROM :"schema".progress WHERE run = redriven.run AND starts_with(key, 's/');
    PERFORM :"schema".record(the_queue, ARRAY['redriven'], ARRAY[redriven.job], NULL);
    PERFORM :"schema".ring(the_queue);
    RETURN true;
END
$$;

CREATE FUNCTION :"schema".remove(the_queue int, the_id text) RETURNS boolean
LANGUAGE plpgsql
AS $$
DECLARE
    removed_run text;
BEGIN
    DELETE FROM :"schema".jobs
    WHERE queue = the_queue
    AND id = the_id
    AND state <> 'active'
    RETURNING run INTO removed_run;
    IF removed_run IS NULL THEN
        RETURN false;
    END IF;
    PERFORM :"schema".forget_runs(ARRAY[removed_run]);
    PERFORM pg_notify(:"schema".channel_of(the_queue), 'changed');
    RETURN true;
END
$$;
