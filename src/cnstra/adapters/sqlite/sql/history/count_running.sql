-- CROSS JOIN keeps the order: from the few workers to the few tasks that they run.
SELECT tasks.neuron, count(*)
FROM workers
CROSS JOIN attempts ON attempts.worker = workers.id AND attempts.ended_at IS NULL
CROSS JOIN runs ON runs.run = attempts.run AND runs.queue = ?
CROSS JOIN tasks ON tasks.attempt = attempts.id AND NOT tasks.is_over
WHERE workers.seen_at >= ?
GROUP BY tasks.neuron
