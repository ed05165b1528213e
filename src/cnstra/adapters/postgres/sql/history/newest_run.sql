SELECT run
FROM :"schema".runs
WHERE queue = %(queue)s
AND job = %(job)s
AND long_job IS NOT DISTINCT FROM %(long_job)s::text
ORDER BY seq DESC
LIMIT 1
