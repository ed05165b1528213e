CREATE SCHEMA IF NOT EXISTS :"schema";

CREATE TABLE :"schema".versions (version int PRIMARY KEY);

INSERT INTO :"schema".versions VALUES (1);

-- job is cut where it is too long for an index; long_job holds it whole then.
CREATE TABLE :"schema".runs (
    seq bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    run text COLLATE "C" NOT NULL UNIQUE,
    queue text COLLATE "C" NOT NULL,
    job text COLLATE "C" NOT NULL,
    long_job text,
    state text COLLATE "C" NOT NULL,
    attempts int NOT NULL,
    created_at float8 NOT NULL,
    started_at float8 NOT NULL,
    updated_at float8 NOT NULL,
    collateral text NOT NULL,
    payload text,
    payload_size bigint,
    neuron text COLLATE "C",
    fingerprint text COLLATE "C",
    error bytea
);

CREATE INDEX runs_by_queue ON :"schema".runs (queue, seq);

CREATE INDEX runs_by_state ON :"schema".runs (queue, state, seq);

CREATE INDEX runs_by_job ON :"schema".runs (queue, job, seq);

CREATE INDEX runs_by_neuron ON :"schema".runs (queue, neuron, seq) WHERE neuron IS NOT NULL;

CREATE INDEX runs_by_error ON :"schema".runs (queue, fingerprint, seq)
WHERE fingerprint IS NOT NULL;

CREATE TABLE :"schema".attempts (
    id text COLLATE "C" PRIMARY KEY,
    run text COLLATE "C" NOT NULL,
    number int NOT NULL,
    worker text COLLATE "C" NOT NULL,
    started_at float8 NOT NULL,
    ended_at float8,
    outcome text NOT NULL,
    retry_at float8,
    neuron text,
    error bytea,
    bytes bigint NOT NULL DEFAULT 0
);

CREATE INDEX attempts_by_run ON :"schema".attempts (run, started_at);

CREATE INDEX attempts_that_run ON :"schema".attempts (worker) WHERE ended_at IS NULL;

CREATE TABLE :"schema".tasks (
    attempt text COLLATE "C" NOT NULL,
    key text COLLATE "C" NOT NULL,
    "row" bytea NOT NULL,
    neuron text NOT NULL,
    started_at float8 NOT NULL,
    is_over boolean NOT NULL,
    PRIMARY KEY (attempt, key)
);

CREATE TABLE :"schema".tallies (
    queue text COLLATE "C" NOT NULL,
    minute int NOT NULL,
    neuron text COLLATE "C" NOT NULL,
    outcome text COLLATE "C" NOT NULL,
    bin int NOT NULL,
    count bigint NOT NULL,
    seconds float8 NOT NULL,
    PRIMARY KEY (queue, minute, neuron, outcome, bin)
);

CREATE TABLE :"schema".workers (
    id text COLLATE "C" PRIMARY KEY,
    "row" bytea NOT NULL,
    seen_at float8 NOT NULL
);

CREATE TABLE :"schema".notes (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    run text COLLATE "C" NOT NULL,
    "row" bytea NOT NULL
);

CREATE INDEX notes_by_run ON :"schema".notes (run)
