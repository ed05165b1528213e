SELECT run, epoch, seq, held, result, keys, "values"
FROM :"schema".load_now(%(runs)s::text[])
