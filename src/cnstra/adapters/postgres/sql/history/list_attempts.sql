SELECT id, number, worker, started_at, ended_at, outcome, retry_at, neuron, error
FROM :"schema".attempts
WHERE run = %(run)s
ORDER BY started_at
