DELETE FROM progress
WHERE run = ?
AND key >= 's/'
AND key < 's0'
