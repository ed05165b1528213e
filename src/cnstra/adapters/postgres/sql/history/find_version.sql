SELECT to_regclass('"' || %(schema)s || '".versions') IS NOT NULL
