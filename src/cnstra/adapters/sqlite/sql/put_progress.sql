REPLACE INTO progress (run, key, value)
VALUES (?, ?, ?)
