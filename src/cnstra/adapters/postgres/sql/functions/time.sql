-- What time it is, in seconds since the epoch: the one clock that everything here goes by.
CREATE FUNCTION :"schema".the_time() RETURNS float8
LANGUAGE sql VOLATILE
AS $$ SELECT extract(epoch FROM clock_timestamp())::float8 $$;
