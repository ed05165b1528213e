-- Write a batch of a history, whole: ARGV[1] is it as MessagePack. Each run is on the list of its queue, of
-- its state, of the neuron that failed and of the kind of its error; `seq` orders them.
local base, batch = KEYS[1], cmsgpack.unpack(ARGV[1])

--- ours history_places
local function lists_of(queue, state, neuron, kind)
  local lists = {base .. 'q:' .. queue .. ':all', base .. 'q:' .. queue .. ':state:' .. state}
  if neuron ~= '' then lists[#lists + 1] = base .. 'q:' .. queue .. ':neuron:' .. neuron end
  if kind ~= '' then lists[#lists + 1] = base .. 'q:' .. queue .. ':kind:' .. kind end
  return lists
end

local function weigh(run, bytes)
  redis.call('HINCRBY', base .. 'run:' .. run, 'bytes', bytes)
  redis.call('INCRBY', base .. 'bytes', bytes)
end

for _, one in ipairs(batch.runs) do
  local key = base .. 'run:' .. one.run
  local known = redis.call('HMGET', key, 'seq', 'state', 'neuron', 'kind', 'updated', 'attempts')
  local seq = known[1]
  if not seq then
    seq = redis.call('INCR', base .. 'seq')
    redis.call('ZADD', base .. 'runs', seq, one.run)
    redis.call('ZADD', base .. 'q:' .. one.queue .. ':jobs', 0, place_of(one.job, seq, one.run))
    redis.call('HSET', key, 'seq', seq, 'queue', one.queue, 'job', one.job, 'began', one.row)
  end
  if not seq or not known[5] or tonumber(one.updated) >= tonumber(known[5]) then
    if known[2] then
      for _, list in ipairs(lists_of(one.queue, known[2], known[3], known[4])) do
        redis.call('ZREM', list, one.run)
      end
    end
    for _, list in ipairs(lists_of(one.queue, one.state, one.neuron, one.kind)) do
      redis.call('ZADD', list, seq, one.run)
    end
    local attempts = math.max(tonumber(known[6] or 0), one.attempts)
    redis.call('HSET', key, 'state', one.state, 'neuron', one.neuron, 'kind', one.kind,
      'updated', one.updated, 'attempts', attempts, 'row', one.row)
  end
  redis.call('HSET', base .. 'attempts:' .. one.run, one.attempt, one.row)
  weigh(one.run, one.bytes)
end
for _, one in ipairs(batch.tasks) do
  redis.call('HSET', base .. 'tasks:' .. one.run, one.attempt .. one.key, one.row)
  local running, field = base .. 'q:' .. one.queue .. ':running', one.attempt .. one.key
  if one.over then
    redis.call('HDEL', running, field)
  else
    redis.call('HSET', running, field, one.worker .. '\0' .. one.neuron)
  end
  weigh(one.run, one.bytes)
end
for _, one in ipairs(batch.workers) do
  redis.call('HSET', base .. 'workers', one.id, one.row)
  redis.call('ZADD', base .. 'seen', one.seen, one.id)
end
for _, one in ipairs(batch.notes) do
  redis.call('RPUSH', base .. 'notes:' .. one.run, one.row)
end
for _, one in ipairs(batch.tallies) do
  local key = base .. 'tally:' .. one.queue .. ':' .. one.minute
  redis.call('ZADD', base .. 'minutes', one.minute, key)
  redis.call('HINCRBY', key, 'n' .. one.field, one.count)
  redis.call('HINCRBYFLOAT', key, 's' .. one.field, one.seconds)
end
