-- The channel on which a queue tells that something happened to it.
CREATE FUNCTION :"schema".channel_of(the_queue int) RETURNS text
LANGUAGE sql IMMUTABLE
AS $$ SELECT 'c:' || trim('"' FROM ':"schema"') || ':' || the_queue $$;

CREATE FUNCTION :"schema".event_lock() RETURNS int
LANGUAGE sql IMMUTABLE
AS $$ SELECT hashtext('cnstra events of :"schema"') & 2147483647 $$;

-- The setting that says that this transaction holds its lock: it goes with a savepoint, as that does.
CREATE FUNCTION :"schema".event_lock_noted() RETURNS text
LANGUAGE sql IMMUTABLE
AS $$ SELECT 'cnstra.' || trim('"' FROM ':"schema"') || '_' || :"schema".event_lock() $$;

-- Write down what happened; only the newest events are kept. Ids are given out before they are
-- committed: the lock says of which ids on this transaction may still be holding some back. One does
-- for all that come after it; the server has room for a few thousand.
CREATE FUNCTION :"schema".record(the_queue int, kinds text[], ids text[], details text[])
RETURNS void
LANGUAGE plpgsql
AS $$
DECLARE
    moment float8 := :"schema".the_time();
    happened int := cardinality(kinds);
    before bigint;
    last bigint;
BEGIN
    IF happened = 0 THEN
        RETURN;
    END IF;
    IF coalesce(current_setting(:"schema".event_lock_noted(), true), '') = '' THEN
        SELECT last_value INTO before FROM :"schema".event_ids;
        PERFORM pg_advisory_xact_lock_shared(:"schema".event_lock(), (before % 2147483648)::int);
        PERFORM set_config(:"schema".event_lock_noted(), 'held', true);
    END IF;
    WITH added AS (
        INSERT INTO :"schema".events (queue, id, at, kind, job, detail)
        SELECT
            the_queue, nextval(':"schema".event_ids'), moment, one.kind, one.job,
            coalesce(one.detail, '{}')
        FROM unnest(kinds, ids, details) WITH ORDINALITY AS one(kind, job, detail, n)
        WHERE n > happened - 10000
        ORDER BY n
        RETURNING events.id
    )
    SELECT max(id) INTO last FROM added;
    IF last / 500 <> (last - happened) / 500 THEN
        DELETE FROM :"schema".events
        WHERE queue = the_queue
        AND id <= (
            SELECT id
            FROM :"schema".events
            WHERE queue = the_queue
            ORDER BY id DESC
            LIMIT 1 OFFSET 10000
        );
    END IF;
    IF kinds <> array_fill('started'::text, ARRAY[happened]) THEN
        PERFORM pg_notify(:"schema".channel_of(the_queue), 'changed');
    END IF;
END
$$;

-- Up to which id all events are committed that ever will be.
CREATE FUNCTION :"schema".told_up_to() RETURNS bigint
LANGUAGE plpgsql
AS $$
DECLARE
    last bigint;
    behind bigint;
BEGIN
    SELECT last_value INTO last FROM :"schema".event_ids;
    SELECT max(distance) INTO behind
    FROM (
        SELECT ((last - objid::bigint) % 2147483648 + 2147483648) % 2147483648 AS distance
        FROM pg_locks
        WHERE locktype = 'advisory'
        AND database = (SELECT oid FROM pg_database WHERE datname = current_database())
        AND classid::bigint = :"schema".event_lock()
        AND objsubid = 2
    ) AS held
    WHERE distance < 1073741824;
    RETURN last - coalesce(behind, 0);
END
$$;

CREATE FUNCTION :"schema".events_after(the_queue int, after bigint, at_most int)
RETURNS TABLE (id bigint, at float8, kind text, job text, detail text)
LANGUAGE plpgsql
AS $$
#variable_conflict use_column
DECLARE
    told bigint := :"schema".told_up_to();
BEGIN
    RETURN QUERY
    SELECT id, at, kind, job, detail
    FROM :"schema".events
    WHERE queue = the_queue
    AND id > after
    AND id <= told
    ORDER BY id
    LIMIT at_most;
END
$$;

CREATE FUNCTION :"schema".newest_event(the_queue int)
RETURNS TABLE (id bigint, at float8, kind text, job text, detail text)
LANGUAGE plpgsql
AS $$
#variable_conflict use_column
DECLARE
    told bigint := :"schema".told_up_to();
BEGIN
    RETURN QUERY
    SELECT id, at, kind, job, detail
    FROM :"schema".events
    WHERE queue = the_queue
    AND id <= told
    ORDER BY id DESC
    LIMIT 1;
END
$$;

-- Wake those who wait for a job.
CREATE FUNCTION :"schema".ring(the_queue int) RETURNS void
LANGUAGE plpgsql
AS $$
BEGIN
    PERFORM pg_notify(:"schema".channel_of(the_queue), 'jobs');
END
$$;
