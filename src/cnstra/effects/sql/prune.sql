DELETE FROM cnstra_ledger
WHERE ended_at < :ended_before
RETURNING key
