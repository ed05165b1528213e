SELECT queue, channel, coalesce(newest.id, 0)
FROM :"schema".register(%(name)s)
LEFT JOIN LATERAL :"schema".newest_event(queue) AS newest ON true
