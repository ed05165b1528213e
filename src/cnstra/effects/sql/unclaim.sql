UPDATE cnstra_outbox
SET claimed_until = 0
WHERE key = :key AND position = :position
