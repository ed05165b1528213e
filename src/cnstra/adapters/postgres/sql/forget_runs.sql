SELECT :"schema".forget_runs(%(runs)s::text[])
