SELECT id, at, kind, job, detail FROM :"schema".events_after(%(queue)s, %(after)s, %(limit)s)
