SELECT id, state, rank, data, jobs.run, attempts_made, max_attempts, created_at, backoff, priority,
    finished_at, coalesce(jobs.result, runs.result), error
FROM jobs
LEFT JOIN runs ON runs.run = jobs.run
WHERE queue = :queue
AND id = :id
AND NOT (state = 'completed' AND rank <= :now)
