-- Fail a job. What BullMQ would delete at once is copied to our dead letters first, under the first free name.
--- bullmq moveToFinished
--- ours finishing

local function copy_to_dead_letters(base, id, now, reason, fields)
  local name, number = id, 1
  while redis.call('EXISTS', base .. 'cnstra:dead:' .. name) == 1 do
    number = number + 1
    name = id .. '~' .. number
  end
  local letter = base .. 'cnstra:dead:' .. name
  redis.call('HSET', letter, unpack(redis.call('HGETALL', base .. id)))
  redis.call('HSET', letter, 'failedReason', reason, 'finishedOn', now, unpack(cmsgpack.unpack(fields)))
  redis.call('ZADD', base .. 'cnstra:dead', now, name)
  return letter
end

-- `counts`: whether the attempt counts as made, as BullMQ always has it.
local function bury(base, id, now, reason, fields, options, is_deleted, counts)
  local letter = is_deleted and copy_to_dead_letters(base, id, now, reason, fields)
  local keys = finishing_keys(base, 'failed')
  local answer = finish(keys, base, id, now, 'failedReason', reason, 'failed', fields, options)
  if type(answer) == 'number' and answer < 0 then
    if letter then
      redis.call('DEL', letter)
      redis.call('ZREM', base .. 'cnstra:dead', string.sub(letter, #(base .. 'cnstra:dead:') + 1))
    end
    return answer
  end
  if letter and counts then
    redis.call('HINCRBY', letter, 'atm', 1)
  elseif not letter and not counts then
    redis.call('HINCRBY', base .. id, 'atm', -1)
  end
  return 0
end
