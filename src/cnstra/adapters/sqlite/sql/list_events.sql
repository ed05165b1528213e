SELECT id, at, kind, job, detail
FROM events
WHERE queue = ?
AND id > ?
ORDER BY id
LIMIT ?
