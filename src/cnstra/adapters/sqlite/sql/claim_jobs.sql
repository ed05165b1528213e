UPDATE jobs
SET state = 'active', rank = :until, token = :token
WHERE seq IN (
    SELECT seq
    FROM jobs
    WHERE queue = :queue
    AND state = 'waiting'
    ORDER BY rank, seq
    LIMIT :limit
)
RETURNING seq, priority, id, data, run, attempts_made, max_attempts, backoff, created_at
