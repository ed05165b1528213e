UPDATE runs
SET seq = ?, released = epoch
WHERE run = ?
AND epoch = ?
AND seq < ?
AND result IS NULL
