-- The functions are made anew with each version.
DO $$
DECLARE
    one regprocedure;
BEGIN
    FOR one IN
        SELECT pg_proc.oid
        FROM pg_proc
        JOIN pg_namespace ON pg_namespace.oid = pronamespace
        WHERE nspname = trim('"' FROM ':"schema"')
    LOOP
        EXECUTE 'DROP FUNCTION ' || one;
    END LOOP;
END
$$;
