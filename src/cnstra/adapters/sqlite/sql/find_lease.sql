SELECT seq, token, priority, cancelled
FROM jobs
WHERE queue = ?
AND id = ?
