UPDATE queues
SET paused = :paused
WHERE id = :queue
AND paused <> :paused
