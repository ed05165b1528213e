SELECT :"schema".remove(%(queue)s, %(id)s)
