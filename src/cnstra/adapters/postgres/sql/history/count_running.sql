SELECT tasks.neuron, count(*)
FROM :"schema".workers
JOIN :"schema".attempts ON attempts.worker = workers.id AND attempts.ended_at IS NULL
JOIN :"schema".runs ON runs.run = attempts.run AND runs.queue = %(queue)s
JOIN :"schema".tasks ON tasks.attempt = attempts.id AND NOT tasks.is_over
WHERE workers.seen_at >= %(since)s
GROUP BY tasks.neuron
