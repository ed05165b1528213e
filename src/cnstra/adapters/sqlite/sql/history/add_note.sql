INSERT INTO notes (run, row)
VALUES (?, ?)
