SELECT tasks.row
FROM tasks
WHERE attempt IN (SELECT id FROM attempts WHERE run = ?)
ORDER BY started_at
LIMIT ?
