WITH gone AS (
    DELETE FROM :"schema".runs WHERE run = ANY(%(runs)s)
), notes_gone AS (
    DELETE FROM :"schema".notes WHERE run = ANY(%(runs)s)
), attempts_gone AS (
    DELETE FROM :"schema".attempts WHERE run = ANY(%(runs)s) RETURNING id
)
DELETE FROM :"schema".tasks
WHERE attempt IN (SELECT id FROM attempts_gone)
