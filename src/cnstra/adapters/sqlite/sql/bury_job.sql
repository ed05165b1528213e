UPDATE jobs
SET state = 'dead', rank = :now, token = :token, finished_at = :now, error = :error,
    attempts_made = attempts_made + :attempts
WHERE seq = :seq
