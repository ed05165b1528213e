UPDATE runs
SET epoch = epoch + 1, released = epoch + 1
WHERE run = ?
