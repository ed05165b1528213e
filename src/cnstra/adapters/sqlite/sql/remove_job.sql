DELETE FROM jobs
WHERE queue = ?
AND id = ?
AND state <> 'active'
RETURNING run
