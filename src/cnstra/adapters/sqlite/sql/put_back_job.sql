UPDATE jobs
SET state = :state, rank = :rank, token = :token, attempts_made = attempts_made + :attempts,
    error = coalesce(:error, error)
WHERE seq = :seq
