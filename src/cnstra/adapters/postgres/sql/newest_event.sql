SELECT id, at, kind, job, detail FROM :"schema".newest_event(%(queue)s)
