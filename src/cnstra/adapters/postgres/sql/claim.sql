SELECT *
FROM :"schema".claim(
    %(queue)s, %(limit)s, %(token)s, %(lease)s, %(rate_jobs)s, %(rate_per)s, %(unheard)s::text[]
)
