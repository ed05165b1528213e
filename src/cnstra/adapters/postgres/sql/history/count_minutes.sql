SELECT minute, outcome, sum(count)::bigint
FROM :"schema".tallies
WHERE queue = %(queue)s
AND minute >= %(minute)s
AND neuron = ''
GROUP BY minute, outcome
