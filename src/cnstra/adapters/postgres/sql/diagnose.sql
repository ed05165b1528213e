SELECT
    current_setting('server_version'),
    current_setting('fsync'),
    current_setting('full_page_writes'),
    current_setting('synchronous_commit'),
    current_setting('max_connections')::int,
    pg_is_in_recovery(),
    (SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'client backend')::int,
    (SELECT coalesce(max(version), 0) FROM :"schema".migrations)::int
