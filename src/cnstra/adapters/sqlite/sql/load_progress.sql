SELECT key, value
FROM progress
WHERE run = ?
