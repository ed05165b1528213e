SELECT :"schema".give_back(%(queue)s, %(tokens)s::text[])
