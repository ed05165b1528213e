INSERT INTO :"schema".tallies AS known (queue, minute, neuron, outcome, bin, count, seconds)
VALUES (%s, %s, %s, %s, %s, %s, %s)
ON CONFLICT (queue, minute, neuron, outcome, bin) DO UPDATE
SET count = known.count + excluded.count, seconds = known.seconds + excluded.seconds
