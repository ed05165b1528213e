-- The rank of a dead job is when it died.
SELECT id, state, rank, data, jobs.run, attempts_made, max_attempts, created_at, backoff, priority,
    finished_at, coalesce(jobs.result, runs.result), error
FROM jobs
LEFT JOIN runs ON runs.run = jobs.run
WHERE jobs.seq IN (
    SELECT seq
    FROM jobs
    WHERE queue = :queue
    AND state = 'dead'
    ORDER BY rank DESC, seq DESC
    LIMIT :limit OFFSET :offset
)
ORDER BY rank DESC, jobs.seq DESC
