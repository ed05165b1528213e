SELECT "row"
FROM :"schema".workers
WHERE seen_at >= %(since)s
ORDER BY id
