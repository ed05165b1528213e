-- Drop a job that is not active, and its run. 1 if there was one.
--- bullmq removeJob
local base, id, run = KEYS[1], ARGV[1], ARGV[2]
if redis.call('DEL', base .. 'cnstra:dead:' .. id) == 1 then
  redis.call('ZREM', base .. 'cnstra:dead', id)
  redis.call('DEL', run)
  return 1
end
if redis.call('EXISTS', base .. id) == 0 or redis.call('LPOS', base .. 'active', id) then return 0 end
local removed = removeJob({base .. id, base .. 'repeat'}, {id, '0', base})
if removed == 1 then redis.call('DEL', run) end
return removed
