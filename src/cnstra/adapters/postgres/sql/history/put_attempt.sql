INSERT INTO :"schema".attempts AS known (
    id, run, number, worker, started_at, ended_at, outcome, retry_at, neuron, error, bytes
)
VALUES (
    %(id)s, %(run)s, %(number)s, %(worker)s, %(started_at)s, %(ended_at)s, %(outcome)s,
    %(retry_at)s, %(neuron)s, %(error)s, %(bytes)s
)
ON CONFLICT (id) DO UPDATE
SET ended_at = excluded.ended_at, outcome = excluded.outcome, retry_at = excluded.retry_at,
    neuron = excluded.neuron, error = excluded.error, bytes = known.bytes + excluded.bytes
