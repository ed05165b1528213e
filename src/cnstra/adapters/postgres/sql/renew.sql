SELECT kept, cancelled
FROM :"schema".renew(%(queue)s, %(ids)s::text[], %(tokens)s::text[], %(lease)s)
