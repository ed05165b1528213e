CREATE TABLE queues (
    id INTEGER PRIMARY KEY,
    name TEXT NOT NULL UNIQUE,
    paused INTEGER NOT NULL DEFAULT 0
);

-- rank orders the jobs of one state: waiting ones by -priority, delayed and active ones by the time
-- at which they are due again, completed ones by the time at which they expire.
CREATE TABLE jobs (
    seq INTEGER PRIMARY KEY,
    queue INTEGER NOT NULL,
    id TEXT NOT NULL,
    state TEXT NOT NULL,
    rank REAL NOT NULL,
    token TEXT,
    cancelled INTEGER NOT NULL DEFAULT 0,
    priority INTEGER NOT NULL,
    attempts_made INTEGER NOT NULL DEFAULT 0,
    max_attempts INTEGER NOT NULL,
    created_at REAL NOT NULL,
    finished_at REAL,
    run TEXT NOT NULL,
    backoff TEXT,
    error TEXT,
    data BLOB NOT NULL,
    result BLOB,
    UNIQUE (queue, id)
);

CREATE INDEX jobs_by_rank
ON jobs (queue, state, rank);

-- released is the last epoch that ended by itself.
CREATE TABLE runs (
    run TEXT PRIMARY KEY,
    epoch INTEGER NOT NULL,
    seq INTEGER NOT NULL,
    released INTEGER NOT NULL,
    result BLOB,
    expires_at REAL
) WITHOUT ROWID;

CREATE INDEX runs_by_expiry
ON runs (expires_at)
WHERE expires_at IS NOT NULL;

CREATE TABLE progress (
    run TEXT NOT NULL,
    key TEXT NOT NULL,
    value BLOB NOT NULL,
    PRIMARY KEY (run, key)
) WITHOUT ROWID;

CREATE TABLE rate_windows (
    queue INTEGER PRIMARY KEY,
    opened_at REAL NOT NULL,
    started INTEGER NOT NULL
);

CREATE TABLE events (
    id INTEGER PRIMARY KEY,
    queue INTEGER NOT NULL,
    at REAL NOT NULL,
    kind TEXT NOT NULL,
    job TEXT,
    detail TEXT NOT NULL
);
