SELECT :"schema".cancel(%(queue)s, %(id)s)
