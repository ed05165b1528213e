SELECT opened_at, started
FROM rate_windows
WHERE queue = ?
