SELECT minute, outcome, sum(count)
FROM tallies
WHERE queue = ?
AND minute >= ?
AND neuron = ''
GROUP BY minute, outcome
