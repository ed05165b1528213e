-- BullMQ deletes failed jobs: at once, or any of them when another one fails, as that one's `removeOnFail` says.
-- So a copy of each is put aside: `cnstra:copy:ID`, by time in `cnstra:copies`. Those whose job is gone are our dead
-- letters: `cnstra:dead:NAME`, by time in `cnstra:dead`. A field beside the job's own:
--   cn:told     the newest event when it failed
local function forget_copy(base, id)
  redis.call('DEL', base .. 'cnstra:copy:' .. id)
  redis.call('ZREM', base .. 'cnstra:copies', id)
end

local function is_later(one, other)
  local at, number = string.match(one, '(%d+)-(%d+)')
  local other_at, other_number = string.match(other, '(%d+)-(%d+)')
  if at == other_at then return tonumber(number) > tonumber(other_number) end
  return tonumber(at) > tonumber(other_at)
end

-- The last event since then by which somebody took up, or removed, each failed job.
local function taken_up(base, since)
  local last = {}
  for _, entry in ipairs(redis.call('XRANGE', base .. 'events', '(' .. since, '+')) do
    local event = {}
    for place = 1, #entry[2], 2 do event[entry[2][place]] = entry[2][place + 1] end
    if event.jobId and event.prev == 'failed' and (event.event == 'waiting' or event.event == 'removed') then
      last[event.jobId] = entry[1]
    end
  end
  return last
end

local function to_dead_letters(base, id)
  local name, number = id, 1
  while redis.call('EXISTS', base .. 'cnstra:dead:' .. name, base .. name) > 0 do
    number = number + 1
    name = id .. '~' .. number
  end
  local letter = base .. 'cnstra:dead:' .. name
  redis.call('RENAME', base .. 'cnstra:copy:' .. id, letter)
  redis.call('HDEL', letter, 'cn:told')
  redis.call('ZADD', base .. 'cnstra:dead', redis.call('HGET', letter, 'finishedOn'), name)
  redis.call('ZREM', base .. 'cnstra:copies', id)
end

-- The copies whose job is not failed any more, oldest first: of all, or of so many of the newest.
local function copies_gone(base, most)
  if not most or most > 5000 then return redis.call('ZDIFF', 2, base .. 'cnstra:copies', base .. 'failed') end
  local newest, gone = redis.call('ZRANGE', base .. 'cnstra:copies', -most, -1), {}
  if #newest == 0 then return gone end
  local failed = redis.call('ZMSCORE', base .. 'failed', unpack(newest))
  for place, id in ipairs(newest) do
    if not failed[place] then gone[#gone + 1] = id end
  end
  return gone
end

-- Make dead letters of the copies whose job BullMQ has deleted; drop those of jobs that somebody took up again.
-- Of all copies, or of as many as can be among so many of the newest dead jobs: who only lists these.
local function sort_copies(base, most)
  local deleted, dropped = {}, false
  for _, id in ipairs(copies_gone(base, most)) do
    local job = redis.call('HMGET', base .. id, 'timestamp', 'cn:seq')
    local copy = redis.call('HMGET', base .. 'cnstra:copy:' .. id, 'timestamp', 'cn:seq', 'cn:told')
    if job[1] and job[1] == copy[1] and job[2] == copy[2] then
      forget_copy(base, id)
      dropped = true
    else
      deleted[#deleted + 1] = {id, copy[3]}
    end
  end
  if #deleted > 0 then
    local taken = taken_up(base, deleted[1][2])
    for _, copy in ipairs(deleted) do
      local id, told = copy[1], copy[2]
      if taken[id] and is_later(taken[id], told) then
        forget_copy(base, id)
        dropped = true
      else
        to_dead_letters(base, id)
      end
    end
  end
  -- In the place of one that was dropped another may come.
  if most and dropped then sort_copies(base, most) end
end

local function put_aside(base, id, now, reason, fields)
  local copy = base .. 'cnstra:copy:' .. id
  if redis.call('EXISTS', copy) == 1 then sort_copies(base) end
  local newest = redis.call('XREVRANGE', base .. 'events', '+', '-', 'COUNT', 1)[1]
  redis.call('HSET', copy, unpack(redis.call('HGETALL', base .. id)))
  redis.call('HSET', copy, 'failedReason', reason, 'finishedOn', now, unpack(cmsgpack.unpack(fields)))
  redis.call('HSET', copy, 'cn:told', newest and newest[1] or '0-0')
  redis.call('ZADD', base .. 'cnstra:copies', now, id)
end
