INSERT INTO tasks (attempt, key, row, neuron, started_at, is_over)
VALUES (?, ?, ?, ?, ?, ?)
ON CONFLICT (attempt, key) DO UPDATE
SET row = excluded.row, is_over = excluded.is_over
