INSERT INTO attempts (
    id, run, number, worker, started_at, ended_at, outcome, retry_at, neuron, error, bytes
)
VALUES (
    :id, :run, :number, :worker, :started_at, :ended_at, :outcome, :retry_at, :neuron, :error,
    :bytes
)
ON CONFLICT (id) DO UPDATE
SET ended_at = excluded.ended_at, outcome = excluded.outcome, retry_at = excluded.retry_at,
    neuron = excluded.neuron, error = excluded.error, bytes = bytes + excluded.bytes
