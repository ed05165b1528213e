INSERT INTO events (queue, at, kind, job, detail)
VALUES (?, ?, ?, ?, ?)
