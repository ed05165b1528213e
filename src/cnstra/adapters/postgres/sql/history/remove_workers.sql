DELETE FROM :"schema".workers
WHERE seen_at < %(since)s
