DELETE FROM progress
WHERE run = ?
AND key = ?
