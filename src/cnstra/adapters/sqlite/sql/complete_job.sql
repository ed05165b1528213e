UPDATE jobs
SET state = 'completed', rank = :expires_at, token = :token, finished_at = :now, error = NULL,
    result = :result
WHERE seq = :seq
