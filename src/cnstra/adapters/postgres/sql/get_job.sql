SELECT coalesce(long_id, id),
    CASE WHEN state = 'delayed' AND rank <= moment THEN 'waiting' ELSE state END,
    CASE WHEN state = 'delayed' AND rank > moment THEN rank END,
    data, run, attempts_made, max_attempts, created_at, backoff, priority, finished_at, result,
    error
FROM :"schema".jobs, :"schema".the_time() AS moment
WHERE queue = %(queue)s
AND id = %(id)s
AND NOT (state = 'completed' AND rank <= moment)
