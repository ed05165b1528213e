DELETE FROM cnstra_ledger
WHERE key = :key AND state = 'started'
RETURNING key
