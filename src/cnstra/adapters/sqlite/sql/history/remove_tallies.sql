DELETE FROM tallies
WHERE minute < ?
