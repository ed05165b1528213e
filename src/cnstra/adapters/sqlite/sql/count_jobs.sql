SELECT iif(state = 'delayed' AND rank <= :now, 'waiting', state) AS shown, count(*)
FROM jobs
WHERE queue = :queue
AND NOT (state = 'completed' AND rank <= :now)
GROUP BY shown
