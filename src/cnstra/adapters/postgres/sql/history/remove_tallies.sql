DELETE FROM :"schema".tallies
WHERE minute < %(minute)s
