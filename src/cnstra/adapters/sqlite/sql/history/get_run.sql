SELECT seq, run, queue, job, state, attempts, created_at, started_at, updated_at, collateral,
    payload, payload_size, neuron, error
FROM runs
WHERE run = ?
