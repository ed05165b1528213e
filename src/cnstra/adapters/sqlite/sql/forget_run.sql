DELETE FROM runs
WHERE run = ?
