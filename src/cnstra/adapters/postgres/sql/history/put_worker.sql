INSERT INTO :"schema".workers (id, "row", seen_at)
VALUES (%s, %s, %s)
ON CONFLICT (id) DO UPDATE
SET "row" = excluded."row", seen_at = excluded.seen_at
