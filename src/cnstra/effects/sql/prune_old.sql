DELETE FROM cnstra_ledger
WHERE created_at < :created_before
RETURNING key
