UPDATE attempts
SET bytes = bytes + ?
WHERE id = ?
