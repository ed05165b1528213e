SELECT key, run, neuron, effect, created_at
FROM cnstra_ledger
WHERE state = 'started'
ORDER BY created_at, key
