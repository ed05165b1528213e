SELECT run, epoch, seq, released <> epoch AND result IS NULL, result, saved.keys, saved.values
FROM :"schema".runs
LEFT JOIN LATERAL (
    SELECT array_agg(key) AS keys, array_agg(value) AS "values"
    FROM :"schema".progress
    WHERE progress.run = runs.run
) AS saved ON true
WHERE run = %(run)s
AND (expires_at > :"schema".the_time()) IS NOT FALSE
