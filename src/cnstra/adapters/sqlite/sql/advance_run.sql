UPDATE runs
SET seq = ?
WHERE run = ?
AND epoch = ?
AND seq < ?
AND result IS NULL
