SELECT row
FROM notes
WHERE run = ?
ORDER BY rowid
