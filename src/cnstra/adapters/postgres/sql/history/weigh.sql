SELECT (SELECT count(*) FROM :"schema".runs),
    (SELECT coalesce(sum(bytes), 0)::bigint FROM :"schema".attempts)
