-- Add jobs, all in one step. For each: 1 if it is new, 0 if the queue holds one of that id.
--- bullmq addStandardJob
--- bullmq addDelayedJob
--- bullmq addPrioritizedJob
--- ours urgency
local base, now, expired_before = KEYS[1], ARGV[1], tonumber(ARGV[2])

local function forget_expired(id)
  local finished = redis.call('ZSCORE', base .. 'completed', id)
  if finished and tonumber(finished) <= expired_before then
    redis.call('ZREM', base .. 'completed', id)
    redis.call('DEL', base .. id, base .. id .. ':logs', base .. id .. ':processed')
  end
end

local function add(id, arguments, kind)
  if kind == 'delayed' then
    return addDelayedJob({
      base .. 'marker', base .. 'meta', base .. 'id', base .. 'delayed', base .. 'completed', base .. 'events',
    }, arguments)
  elseif kind == 'prioritized' then
    return addPrioritizedJob({
      base .. 'marker', base .. 'meta', base .. 'id', base .. 'prioritized', base .. 'delayed',
      base .. 'completed', base .. 'active', base .. 'events', base .. 'pc',
    }, arguments)
  end
  return addStandardJob({
    base .. 'wait', base .. 'paused', base .. 'meta', base .. 'id', base .. 'completed', base .. 'delayed',
    base .. 'active', base .. 'events', base .. 'marker',
  }, arguments)
end

local accepted = {}
for place = 3, #ARGV, 6 do
  local id, kind, urgency = ARGV[place], ARGV[place + 1], ARGV[place + 2]
  local job = base .. id
  local is_new = redis.call('EXISTS', job) == 0
  if not is_new then
    forget_expired(id)
    is_new = redis.call('EXISTS', job) == 0
  end
  add(id, {ARGV[place + 3], ARGV[place + 4], ARGV[place + 5], now}, kind)
  if is_new then
    redis.call('HSET', job, 'cn:seq', redis.call('GET', base .. 'id'))
    if urgency ~= '' then
      redis.call('HSET', job, 'cn:urgency', urgency)
      if redis.call('LREM', base .. 'wait', 1, id) == 1 then queue_urgent(base, id, tonumber(urgency)) end
    end
  end
  accepted[#accepted + 1] = is_new and 1 or 0
end
return accepted
