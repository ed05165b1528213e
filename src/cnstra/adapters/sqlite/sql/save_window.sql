REPLACE INTO rate_windows (queue, opened_at, started)
VALUES (?, ?, ?)
