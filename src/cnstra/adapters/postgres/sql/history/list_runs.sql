SELECT seq, run, queue, coalesce(long_job, job), state, attempts, created_at, started_at,
    updated_at, collateral, payload, payload_size, neuron, error
FROM :"schema".runs
