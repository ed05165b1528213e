UPDATE runs
SET result = NULL, expires_at = NULL, released = epoch - 1
WHERE run = ?
