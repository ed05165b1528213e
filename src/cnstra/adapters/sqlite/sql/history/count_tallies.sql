SELECT neuron, outcome, bin, sum(count), sum(seconds)
FROM tallies
WHERE queue = ?
AND minute >= ?
GROUP BY neuron, outcome, bin
