SELECT id, number, worker, started_at, ended_at, outcome, retry_at, neuron, error
FROM attempts
WHERE run = ?
ORDER BY started_at
