-- +queue: newest first is the order of the table itself, and no index's.
SELECT id, state, rank, data, jobs.run, attempts_made, max_attempts, created_at, backoff, priority,
    finished_at, coalesce(jobs.result, runs.result), error
FROM jobs
LEFT JOIN runs ON runs.run = jobs.run
WHERE jobs.seq IN (
    SELECT seq
    FROM jobs
    WHERE +queue = :queue
    AND +state = 'completed'
    AND rank > :now
    ORDER BY seq DESC
    LIMIT :limit OFFSET :offset
)
ORDER BY jobs.seq DESC
