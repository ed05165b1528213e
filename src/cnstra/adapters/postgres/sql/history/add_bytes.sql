UPDATE :"schema".attempts
SET bytes = bytes + %s
WHERE id = %s
