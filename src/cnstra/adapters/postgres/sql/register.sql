SELECT queue, channel FROM :"schema".register(%(name)s)
