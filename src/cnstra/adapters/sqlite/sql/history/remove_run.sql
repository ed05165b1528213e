DELETE FROM tasks
WHERE attempt IN (SELECT id FROM attempts WHERE run = :run);

DELETE FROM attempts
WHERE run = :run;

DELETE FROM notes
WHERE run = :run;

DELETE FROM runs
WHERE run = :run;
