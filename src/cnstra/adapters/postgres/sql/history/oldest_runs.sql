SELECT run, updated_at,
    (SELECT coalesce(sum(bytes), 0)::bigint FROM :"schema".attempts WHERE attempts.run = runs.run)
FROM :"schema".runs
ORDER BY seq
LIMIT %(limit)s
