SELECT coalesce(long_id, id),
    CASE WHEN state = 'delayed' AND rank <= moment THEN 'waiting' ELSE state END,
    CASE WHEN state = 'delayed' AND rank > moment THEN rank END,
    data, run, attempts_made, max_attempts, created_at, backoff, priority, finished_at, result,
    error
FROM :"schema".jobs, :"schema".the_time() AS moment
WHERE queue = %(queue)s
AND CASE %(state)s::text
    WHEN 'waiting' THEN state = 'waiting' OR state = 'delayed' AND rank <= moment
    WHEN 'delayed' THEN state = 'delayed' AND rank > moment
    WHEN 'completed' THEN state = 'completed' AND rank > moment
    WHEN 'all' THEN NOT (state = 'completed' AND rank <= moment)
    ELSE state = %(state)s::text
END
ORDER BY seq DESC
LIMIT %(limit)s OFFSET %(offset)s
