UPDATE cnstra_outbox
SET claimed_until = :until
WHERE claimed_until < :now AND (key, position) IN (
  SELECT key, position
  FROM cnstra_outbox
  WHERE queue = :queue AND claimed_until < :now
  ORDER BY created_at, key, position
  LIMIT 100
)
RETURNING key, position, queue, job, created_at
