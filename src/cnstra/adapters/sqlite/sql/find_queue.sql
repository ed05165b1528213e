SELECT id
FROM queues
WHERE name = ?
