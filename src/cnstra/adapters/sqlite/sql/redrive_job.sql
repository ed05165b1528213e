UPDATE jobs
SET state = 'waiting', rank = -priority, token = NULL, cancelled = 0, attempts_made = 0,
    finished_at = NULL, error = NULL
WHERE queue = ?
AND id = ?
AND state = 'dead'
RETURNING run
