SELECT (SELECT count(*) FROM runs), (SELECT coalesce(sum(bytes), 0) FROM attempts)
