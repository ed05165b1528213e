SELECT tasks.neuron, count(*)
FROM workers
JOIN attempts ON attempts.worker = workers.id AND attempts.ended_at IS NULL
JOIN runs ON runs.run = attempts.run AND runs.queue = ?
JOIN tasks ON tasks.attempt = attempts.id AND NOT tasks.is_over
WHERE workers.seen_at >= ?
GROUP BY tasks.neuron
