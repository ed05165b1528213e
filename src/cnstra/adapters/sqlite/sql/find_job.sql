SELECT seq, state, run
FROM jobs
WHERE queue = ?
AND id = ?
