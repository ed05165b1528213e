DELETE FROM runs
WHERE run IN (
    SELECT run
    FROM runs
    WHERE expires_at <= :now
    ORDER BY expires_at
    LIMIT :limit
)
