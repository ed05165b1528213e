UPDATE jobs
SET state = 'waiting', rank = -priority, token = NULL
WHERE seq IN (
    SELECT seq
    FROM jobs
    WHERE queue = :queue
    AND state = 'active'
    AND rank <= :now
    ORDER BY rank
    LIMIT :limit
)
RETURNING seq, id, run, cancelled
