SELECT
    (SELECT paused FROM queues WHERE id = :queue),
    EXISTS (SELECT 1 FROM jobs WHERE queue = :queue AND state = 'waiting'),
    (SELECT min(rank) FROM jobs WHERE queue = :queue AND state = 'delayed'),
    (SELECT min(rank) FROM jobs WHERE queue = :queue AND state = 'active')
