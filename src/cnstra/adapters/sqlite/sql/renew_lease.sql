UPDATE jobs
SET rank = ?
WHERE queue = ?
AND id = ?
AND token = ?
RETURNING cancelled
