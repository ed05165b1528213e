SELECT CASE WHEN state = 'delayed' AND rank <= moment THEN 'waiting' ELSE state END AS shown,
    count(*)
FROM :"schema".jobs, :"schema".the_time() AS moment
WHERE queue = %(queue)s
AND NOT (state = 'completed' AND rank <= moment)
GROUP BY shown
