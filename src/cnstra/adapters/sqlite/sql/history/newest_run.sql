SELECT run
FROM runs
WHERE queue = ?
AND job = ?
ORDER BY seq DESC
LIMIT 1
