SELECT :"schema".redrive(%(queue)s, %(id)s)
