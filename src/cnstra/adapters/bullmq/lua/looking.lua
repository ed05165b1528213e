-- Where a job is: BullMQ's sets are asked before its lists, which are long to search.
local function state_of(base, id, now)
  if redis.call('ZSCORE', base .. 'completed', id) then return 'completed' end
  if redis.call('ZSCORE', base .. 'failed', id) then return 'dead' end
  local score = redis.call('ZSCORE', base .. 'delayed', id)
  if score then
    local due = math.floor(tonumber(score) / 0x1000)
    return due <= now and 'waiting' or 'delayed', due
  end
  if redis.call('ZSCORE', base .. 'prioritized', id) then return 'waiting' end
  if redis.call('ZSCORE', base .. 'waiting-children', id) then return 'delayed', 0 end
  return redis.call('LPOS', base .. 'active', id) and 'active' or 'waiting'
end

local function letter(base, id)
  local fields = redis.call('HGETALL', base .. 'cnstra:dead:' .. id)
  return #fields > 0 and {id, 'dead', 0, fields}
end

-- Id, state, when it is due, and all its fields.
local function shown(base, id, now)
  local fields = redis.call('HGETALL', base .. id)
  if #fields > 0 then
    local state, due = state_of(base, id, now)
    return {id, state, due or 0, fields}
  end
  return letter(base, id)
end
