SELECT :"schema".set_paused(%(queue)s, %(paused)s)
