INSERT INTO cnstra_ledger (key, run, neuron, effect, input, state, created_at)
VALUES (:key, :run, :neuron, :effect, :input, 'started', :now)
ON CONFLICT (key) DO NOTHING
RETURNING key
