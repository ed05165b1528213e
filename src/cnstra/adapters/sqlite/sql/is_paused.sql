SELECT paused
FROM queues
WHERE id = ?
