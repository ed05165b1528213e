SELECT coalesce(sum(bytes), 0)
FROM attempts
WHERE run = ?
