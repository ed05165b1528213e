UPDATE cnstra_ledger
SET state = 'done', outcome = :outcome
WHERE key = :key AND state = 'started'
RETURNING key
