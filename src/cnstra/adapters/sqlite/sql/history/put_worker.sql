INSERT INTO workers (id, row, seen_at)
VALUES (?, ?, ?)
ON CONFLICT (id) DO UPDATE
SET row = excluded.row, seen_at = excluded.seen_at
