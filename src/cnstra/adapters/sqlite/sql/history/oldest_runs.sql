SELECT seq, run, updated_at
FROM runs
ORDER BY seq
LIMIT ?
