SELECT "row"
FROM :"schema".notes
WHERE run = %(run)s
ORDER BY id
