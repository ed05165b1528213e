DELETE FROM cnstra_outbox
WHERE key = :key AND position = :position
