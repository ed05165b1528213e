SELECT state, outcome, input, neuron
FROM cnstra_ledger
WHERE key = :key
