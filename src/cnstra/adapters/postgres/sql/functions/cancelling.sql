-- The error of a job that its owner ended.
CREATE FUNCTION :"schema".cancelled_error() RETURNS text
LANGUAGE sql IMMUTABLE
AS $$ SELECT '{"message": "The job was cancelled.", "name": "JobCancelled", "stack": ""}' $$;

CREATE FUNCTION :"schema".cancelled_headline() RETURNS text
LANGUAGE sql IMMUTABLE
AS $$ SELECT '{"error": {"name": "JobCancelled", "message": "The job was cancelled."}}' $$;
