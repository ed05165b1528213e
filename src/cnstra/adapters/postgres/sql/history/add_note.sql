INSERT INTO :"schema".notes (run, "row")
VALUES (%s, %s)
