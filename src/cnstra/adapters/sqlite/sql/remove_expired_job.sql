DELETE FROM jobs
WHERE queue = ?
AND id = ?
AND state = 'completed'
AND rank <= ?
RETURNING run
