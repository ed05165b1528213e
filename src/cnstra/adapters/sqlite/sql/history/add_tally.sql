INSERT INTO tallies (queue, minute, neuron, outcome, bin, count, seconds)
VALUES (?, ?, ?, ?, ?, ?, ?)
ON CONFLICT DO UPDATE
SET count = count + excluded.count, seconds = seconds + excluded.seconds
