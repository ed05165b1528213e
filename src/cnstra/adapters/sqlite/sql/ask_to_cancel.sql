UPDATE jobs
SET cancelled = 1
WHERE seq = ?
AND cancelled = 0
