-- Drop a job that is not active, and its run. 1 if there was one.
--- ours copies
--- bullmq removeJob
local base, id, run = KEYS[1], ARGV[1], ARGV[2]
local removed
if redis.call('EXISTS', base .. id) == 1 then
  if redis.call('LPOS', base .. 'active', id) then return 0 end
  removed = removeJob({base .. id, base .. 'repeat'}, {id, '0', base})
  if removed == 1 then forget_copy(base, id) end
else
  removed = redis.call('DEL', base .. 'cnstra:dead:' .. id)
  redis.call('ZREM', base .. 'cnstra:dead', id)
end
if removed == 1 then redis.call('DEL', run) end
return removed
