UPDATE cnstra_ledger
SET ended_at = :now
WHERE run = :run AND ended_at IS NULL
