SELECT neuron, outcome, bin, sum(count)::bigint, sum(seconds)
FROM :"schema".tallies
WHERE queue = %(queue)s
AND minute >= %(minute)s
GROUP BY neuron, outcome, bin
