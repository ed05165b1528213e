SELECT tasks."row"
FROM :"schema".tasks
WHERE attempt IN (SELECT id FROM :"schema".attempts WHERE run = %(run)s)
ORDER BY started_at
LIMIT %(limit)s
