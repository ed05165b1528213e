-- Jobs above BullMQ's highest priority wait at the head (the right end) of the list, the most urgent first.
local function urgency_at(base, place)
  local id = redis.call('LINDEX', base .. 'wait', -place)
  return id and tonumber(redis.call('HGET', base .. id, 'cn:urgency')) or 0
end

local function queue_urgent(base, id, urgency)
  local wait = base .. 'wait'
  local before, after = 0, redis.call('LLEN', wait) + 1
  local step = 1
  while before + step < after and urgency_at(base, before + step) >= urgency do
    before, step = before + step, step * 2
  end
  after = math.min(after, before + step)
  while after - before > 1 do
    local middle = math.floor((before + after) / 2)
    if urgency_at(base, middle) >= urgency then before = middle else after = middle end
  end
  local ahead = before > 0 and redis.call('LRANGE', wait, -before, -1) or {}
  if before > 0 then redis.call('LTRIM', wait, 0, -before - 1) end
  redis.call('RPUSH', wait, id)
  for from = 1, #ahead, 5000 do
    redis.call('RPUSH', wait, unpack(ahead, from, math.min(from + 4999, #ahead)))
  end
end

-- BullMQ puts what was delayed at the end of the list: urgent jobs are fetched before it does.
local function promote_urgent(base, now)
  local due = redis.call('ZRANGEBYSCORE', base .. 'delayed', 0, (tonumber(now) + 1) * 0x1000 - 1, 'LIMIT', 0, 1000)
  for _, id in ipairs(due) do
    local urgency = tonumber(redis.call('HGET', base .. id, 'cn:urgency'))
    if urgency then
      redis.call('ZREM', base .. 'delayed', id)
      redis.call('HSET', base .. id, 'delay', 0)
      queue_urgent(base, id, urgency)
      redis.call('XADD', base .. 'events', '*', 'event', 'waiting', 'jobId', id, 'prev', 'delayed')
    end
  end
end

-- A job that comes back keeps its place: ahead of those like it, behind those that are more urgent.
local function put_back(base, id)
  local about = redis.call('HMGET', base .. id, 'cn:urgency', 'priority')
  local priority = tonumber(about[2]) or 0
  if priority > 0 then
    redis.call('ZADD', base .. 'prioritized', priority * 0x100000000, id)
  else
    queue_urgent(base, id, (tonumber(about[1]) or 0) + 0.5)
  end
  redis.call('ZADD', base .. 'marker', 0, '0')
end
