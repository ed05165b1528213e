-- BullMQ's own end of a job.
local function finish(base, id, now, property, value, target, fields, options, leases_next)
  local keys = {
    base .. 'wait', base .. 'active', base .. 'prioritized', base .. 'events', base .. 'stalled',
    base .. 'limiter', base .. 'delayed', base .. 'paused', base .. 'meta', base .. 'pc', base .. target,
    base .. id, base .. 'metrics:' .. target, base .. 'marker',
  }
  local arguments = {id, now, property, value, target, leases_next and '1' or '', base, options, fields}
  return moveToFinished(keys, arguments)
end
