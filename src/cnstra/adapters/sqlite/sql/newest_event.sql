SELECT id, at, kind, job, detail
FROM events
WHERE queue = ?
ORDER BY id DESC
LIMIT 1
