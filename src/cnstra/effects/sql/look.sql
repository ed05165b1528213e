SELECT l.key, l.run, l.neuron, l.effect, l.input, l.state, l.outcome, l.created_at, l.ended_at,
  o.key, o.position, o.queue, o.job, o.created_at, o.claimed_until
FROM cnstra_ledger AS l, cnstra_outbox AS o
WHERE 1 = 0
