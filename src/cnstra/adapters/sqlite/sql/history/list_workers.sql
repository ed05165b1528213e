SELECT row
FROM workers
WHERE seen_at >= ?
ORDER BY id
