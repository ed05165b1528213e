INSERT INTO :"schema".runs AS known (
    run, queue, job, long_job, state, attempts, created_at, started_at, updated_at, collateral,
    payload, payload_size, neuron, fingerprint, error
)
VALUES (
    %(run)s, %(queue)s, %(job)s, %(long_job)s, %(state)s, %(attempts)s, %(created_at)s,
    %(started_at)s, %(updated_at)s, %(collateral)s, %(payload)s, %(payload_size)s, %(neuron)s,
    %(fingerprint)s, %(error)s
)
ON CONFLICT (run) DO UPDATE
SET state = excluded.state, attempts = greatest(known.attempts, excluded.attempts),
    updated_at = excluded.updated_at, neuron = excluded.neuron,
    fingerprint = excluded.fingerprint, error = excluded.error
WHERE excluded.updated_at >= known.updated_at
