-- Lease jobs one by one, as BullMQ does, up to `limit`. The last item tells what there is to wait for.
--- bullmq moveToActive
--- ours urgency
local STALLED = 'job stalled more than allowable limit'

-- The delivery tells of the stalls; from now on they count afresh, so that no limit of BullMQ judges.
local function forget_stalls(base, one)
  local fields = one[1]
  for place = 1, #fields, 2 do
    if fields[place] == 'stc' and fields[place + 1] ~= '0' then
      redis.call('HSET', base .. one[2], 'stc', 0)
    elseif fields[place] == 'defa' and fields[place + 1] == STALLED then
      redis.call('HDEL', base .. one[2], 'defa')
      fields[place + 1] = ''
    end
  end
end

local function lease(base, now, options, limit)
  local keys = {
    base .. 'wait', base .. 'active', base .. 'prioritized', base .. 'events', base .. 'stalled',
    base .. 'limiter', base .. 'delayed', base .. 'paused', base .. 'meta', base .. 'pc', base .. 'marker',
  }
  local found = {}
  promote_urgent(base, now)
  for turn = 1, limit do
    local one = moveToActive(keys, {base, now, options})
    found[turn] = one
    if type(one[1]) ~= 'table' then break end
    forget_stalls(base, one)
  end
  return found
end
