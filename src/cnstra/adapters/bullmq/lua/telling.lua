-- What BullMQ's own events leave open, in its stream: an event of ours follows BullMQ's about the same job.
local function tell(base, kind, id, detail)
  redis.call('XADD', base .. 'events', '*', 'event', 'cnstra', 'kind', kind, 'jobId', id, 'detail', detail)
end
