UPDATE runs
SET seq = :seq, released = epoch, result = :result, expires_at = :expires_at
WHERE run = :run
AND epoch = :epoch
AND seq < :seq
AND result IS NULL
