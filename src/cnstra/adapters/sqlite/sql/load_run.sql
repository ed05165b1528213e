INSERT INTO runs (run, epoch, seq, released)
VALUES (?, 1, 0, 0)
ON CONFLICT DO UPDATE
SET epoch = epoch + 1
RETURNING epoch, seq, released, result, expires_at
