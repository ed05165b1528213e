DELETE FROM progress
WHERE run = ?
