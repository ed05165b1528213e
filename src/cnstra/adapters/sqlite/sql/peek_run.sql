SELECT epoch, seq, released, result, expires_at
FROM runs
WHERE run = ?
