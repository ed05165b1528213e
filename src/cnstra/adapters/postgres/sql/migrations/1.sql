CREATE TABLE :"schema".migrations (
    version int PRIMARY KEY,
    applied_at timestamptz NOT NULL DEFAULT now()
);

CREATE TABLE :"schema".queues (
    id int GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    name text COLLATE "C" NOT NULL UNIQUE,
    paused boolean NOT NULL DEFAULT false,
    window_opened_at float8 NOT NULL DEFAULT '-Infinity',
    window_started int NOT NULL DEFAULT 0
);

-- rank orders the jobs of one state: waiting ones by -priority, delayed and active ones by the time
-- at which they are due again, completed ones by the time at which they expire.
-- id is a digest where the job's own id is too long for an index; long_id holds that then.
CREATE TABLE :"schema".jobs (
    seq bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    queue int NOT NULL,
    id text COLLATE "C" NOT NULL,
    long_id text,
    state text COLLATE "C" NOT NULL,
    rank float8 NOT NULL,
    token text,
    cancelled boolean NOT NULL DEFAULT false,
    priority bigint NOT NULL,
    attempts_made bigint NOT NULL DEFAULT 0,
    max_attempts bigint NOT NULL,
    created_at float8 NOT NULL,
    finished_at float8,
    run text COLLATE "C" NOT NULL,
    backoff text,
    error text,
    data bytea NOT NULL,
    result bytea,
    UNIQUE (queue, id)
) WITH (
    autovacuum_vacuum_scale_factor = 0.02, autovacuum_vacuum_threshold = 1000,
    autovacuum_analyze_scale_factor = 0.05
);

CREATE INDEX jobs_waiting
ON :"schema".jobs (queue, rank, seq)
WHERE state = 'waiting';

CREATE INDEX jobs_due
ON :"schema".jobs (queue, state, rank)
WHERE state IN ('delayed', 'active');

CREATE INDEX jobs_expiring
ON :"schema".jobs (queue, rank)
WHERE state = 'completed';

CREATE INDEX jobs_dead
ON :"schema".jobs (queue, seq)
WHERE state = 'dead';

-- released is the last epoch that ended by itself.
CREATE TABLE :"schema".runs (
    run text COLLATE "C" PRIMARY KEY,
    epoch bigint NOT NULL,
    seq bigint NOT NULL,
    released bigint NOT NULL,
    result bytea,
    expires_at float8
) WITH (autovacuum_vacuum_scale_factor = 0.02, autovacuum_vacuum_threshold = 1000, fillfactor = 70);

CREATE INDEX runs_expiring
ON :"schema".runs (expires_at)
WHERE expires_at IS NOT NULL;

CREATE TABLE :"schema".progress (
    run text COLLATE "C" NOT NULL,
    key text COLLATE "C" NOT NULL,
    value bytea NOT NULL,
    PRIMARY KEY (run, key)
) WITH (autovacuum_vacuum_scale_factor = 0.02, autovacuum_vacuum_threshold = 1000);

CREATE SEQUENCE :"schema".event_ids;

-- From here on the last id that was given out is what the sequence says.
SELECT setval(':"schema".event_ids', 1);

CREATE TABLE :"schema".events (
    queue int NOT NULL,
    id bigint NOT NULL,
    at float8 NOT NULL,
    kind text COLLATE "C" NOT NULL,
    job text,
    detail text NOT NULL,
    PRIMARY KEY (queue, id)
) WITH (autovacuum_vacuum_scale_factor = 0.02, autovacuum_vacuum_threshold = 1000);
