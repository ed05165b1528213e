DELETE FROM jobs
WHERE seq IN (
    SELECT seq
    FROM jobs
    WHERE queue = :queue
    AND state = 'completed'
    AND rank <= :now
    ORDER BY rank
    LIMIT :limit
)
RETURNING run
