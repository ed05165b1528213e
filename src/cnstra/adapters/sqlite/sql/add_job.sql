INSERT INTO jobs (queue, id, state, rank, priority, max_attempts, created_at, run, backoff, data)
VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
ON CONFLICT DO NOTHING
