-- Drop the oldest runs while there are too many, too large or too old ones, some at a time; how many went.
--- ours history_places
local base, since, most, most_bytes, limit = KEYS[1], tonumber(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[3]), tonumber(ARGV[4])
local gone = 0
local count = redis.call('ZCARD', base .. 'runs')
local size = tonumber(redis.call('GET', base .. 'bytes') or 0)
for _, run in ipairs(redis.call('ZRANGE', base .. 'runs', 0, limit - 1)) do
  local key = base .. 'run:' .. run
  local fields = redis.call('HMGET', key, 'queue', 'state', 'neuron', 'kind', 'updated', 'bytes', 'job', 'seq')
  if count <= most and size <= most_bytes and tonumber(fields[5] or 0) >= since then break end
  local queue = base .. 'q:' .. fields[1]
  redis.call('ZREM', queue .. ':all', run)
  redis.call('ZREM', queue .. ':jobs', place_of(fields[7], fields[8], run))
  redis.call('ZREM', queue .. ':state:' .. fields[2], run)
  if fields[3] ~= '' then redis.call('ZREM', queue .. ':neuron:' .. fields[3], run) end
  if fields[4] ~= '' then redis.call('ZREM', queue .. ':kind:' .. fields[4], run) end
  redis.call('DEL', key, base .. 'attempts:' .. run, base .. 'tasks:' .. run, base .. 'notes:' .. run)
  redis.call('ZREM', base .. 'runs', run)
  redis.call('DECRBY', base .. 'bytes', fields[6] or 0)
  count, size, gone = count - 1, size - tonumber(fields[6] or 0), gone + 1
end
local minute = '(' .. math.floor(since / 60)
for _, tally in ipairs(redis.call('ZRANGEBYSCORE', base .. 'minutes', '-inf', minute)) do
  redis.call('DEL', tally)
end
redis.call('ZREMRANGEBYSCORE', base .. 'minutes', '-inf', minute)
for _, worker in ipairs(redis.call('ZRANGEBYSCORE', base .. 'seen', '-inf', '(' .. since)) do
  redis.call('HDEL', base .. 'workers', worker)
end
redis.call('ZREMRANGEBYSCORE', base .. 'seen', '-inf', '(' .. since)
return gone
