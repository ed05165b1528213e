INSERT INTO cnstra_outbox (key, position, queue, job, created_at, claimed_until)
VALUES (:key, :position, :queue, :job, :now, 0)
