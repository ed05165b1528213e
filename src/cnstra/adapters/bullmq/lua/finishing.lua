-- BullMQ's own end of a job.
local function finishing_keys(base, target)
  return {
    base .. 'wait', base .. 'active', base .. 'prioritized', base .. 'events', base .. 'stalled',
    base .. 'limiter', base .. 'delayed', base .. 'paused', base .. 'meta', base .. 'pc', base .. target,
    '', base .. 'metrics:' .. target, base .. 'marker',
  }
end

local function finish(keys, base, id, now, property, value, target, fields, options, leases_next)
  keys[12] = base .. id
  local arguments = {id, now, property, value, target, leases_next and '1' or '', base, options, fields}
  return moveToFinished(keys, arguments)
end
