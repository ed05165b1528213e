CREATE TABLE runs (
    seq INTEGER PRIMARY KEY,
    run TEXT NOT NULL UNIQUE,
    queue TEXT NOT NULL,
    job TEXT NOT NULL,
    state TEXT NOT NULL,
    attempts INTEGER NOT NULL,
    created_at REAL NOT NULL,
    started_at REAL NOT NULL,
    updated_at REAL NOT NULL,
    collateral TEXT NOT NULL,
    payload TEXT,
    payload_size INTEGER,
    neuron TEXT,
    fingerprint TEXT,
    error TEXT
);

CREATE INDEX runs_by_queue
ON runs (queue, seq);

CREATE INDEX runs_by_state
ON runs (queue, state, seq);

CREATE INDEX runs_by_job
ON runs (queue, job, seq);

CREATE INDEX runs_by_neuron
ON runs (queue, neuron, seq)
WHERE neuron IS NOT NULL;

CREATE INDEX runs_by_error
ON runs (queue, fingerprint, seq)
WHERE fingerprint IS NOT NULL;

CREATE TABLE attempts (
    id TEXT PRIMARY KEY,
    run TEXT NOT NULL,
    number INTEGER NOT NULL,
    worker TEXT NOT NULL,
    started_at REAL NOT NULL,
    ended_at REAL,
    outcome TEXT NOT NULL,
    retry_at REAL,
    neuron TEXT,
    error TEXT,
    bytes INTEGER NOT NULL DEFAULT 0
) WITHOUT ROWID;

CREATE INDEX attempts_by_run
ON attempts (run, started_at);

CREATE INDEX attempts_that_run
ON attempts (worker)
WHERE ended_at IS NULL;

CREATE TABLE tasks (
    attempt TEXT NOT NULL,
    key TEXT NOT NULL,
    row BLOB NOT NULL,
    neuron TEXT NOT NULL,
    started_at REAL NOT NULL,
    is_over INTEGER NOT NULL,
    PRIMARY KEY (attempt, key)
) WITHOUT ROWID;

CREATE TABLE tallies (
    queue TEXT NOT NULL,
    minute INTEGER NOT NULL,
    neuron TEXT NOT NULL,
    outcome TEXT NOT NULL,
    bin INTEGER NOT NULL,
    count INTEGER NOT NULL,
    seconds REAL NOT NULL,
    PRIMARY KEY (queue, minute, neuron, outcome, bin)
) WITHOUT ROWID;

CREATE TABLE workers (
    id TEXT PRIMARY KEY,
    row BLOB NOT NULL,
    seen_at REAL NOT NULL
) WITHOUT ROWID;

CREATE TABLE notes (
    run TEXT NOT NULL,
    row BLOB NOT NULL
);

CREATE INDEX notes_by_run
ON notes (run);
