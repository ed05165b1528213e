UPDATE jobs
SET state = 'waiting', rank = -priority
WHERE seq IN (
    SELECT seq
    FROM jobs
    WHERE queue = :queue
    AND state = 'delayed'
    AND rank <= :now
    ORDER BY rank
    LIMIT :limit
)
