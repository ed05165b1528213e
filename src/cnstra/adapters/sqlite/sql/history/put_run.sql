INSERT INTO runs (
    run, queue, job, state, attempts, created_at, started_at, updated_at, collateral, payload,
    payload_size, neuron, fingerprint, error
)
VALUES (
    :run, :queue, :job, :state, :attempts, :created_at, :started_at, :updated_at, :collateral,
    :payload, :payload_size, :neuron, :fingerprint, :error
)
ON CONFLICT (run) DO UPDATE
SET state = excluded.state, attempts = max(attempts, excluded.attempts),
    updated_at = excluded.updated_at, neuron = excluded.neuron,
    fingerprint = excluded.fingerprint, error = excluded.error
WHERE excluded.updated_at >= updated_at
