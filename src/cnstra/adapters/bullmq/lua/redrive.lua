-- Put a dead job back with all its attempts. It keeps its progress, without the crashes counted there.
--- ours copies
--- ours forgiving
--- bullmq reprocessJob
local base, id, run, progress = KEYS[1], ARGV[1], ARGV[2], ARGV[3]
local job, letter = base .. id, base .. 'cnstra:dead:' .. id
if redis.call('EXISTS', job) == 0 and redis.call('EXISTS', letter) == 1 then
  redis.call('RENAME', letter, job)
  redis.call('ZREM', base .. 'cnstra:dead', id)
  redis.call('ZADD', base .. 'failed', 0, id)
end
local answer = reprocessJob({
  job, base .. 'events', base .. 'failed', base .. 'wait', base .. 'meta', base .. 'active', base .. 'marker',
  base .. 'prioritized', base .. 'pc',
}, {id, 'LPUSH', 'failedReason', 'failed', '1', '0'})
if answer ~= 1 then return 0 end
forget_copy(base, id)
redis.call('HDEL', job, 'cn:cancel', 'cn:error', 'cn:end', 'pb', 'stc', 'defa')
forgive(job, run, progress)
return 1
