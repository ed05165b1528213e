-- Ask for the end of an active job; end any other that is not over. 1 if there was one.
--- ours burying
--- ours telling
--- ours looking
local base, now = KEYS[1], ARGV[1]
local reason, fields, options, id = ARGV[2], ARGV[3], ARGV[4], ARGV[5]
local job = base .. id
if redis.call('EXISTS', job) == 0 then return 0 end
local state = state_of(base, id, tonumber(now))
if state == 'completed' or state == 'dead' then return 0 end
if redis.call('HSET', job, 'cn:cancel', 1) == 1 then tell(base, 'cancelled', id, '{}') end
if state == 'active' then return 1 end
local removed = redis.call('ZREM', base .. 'delayed', id) + redis.call('ZREM', base .. 'prioritized', id)
if removed == 0 then
  removed = redis.call('LREM', base .. 'wait', 1, id) + redis.call('LREM', base .. 'paused', 1, id)
end
if removed == 0 then return 1 end
redis.call('LPUSH', base .. 'active', id)
bury(base, id, now, reason, fields, options, false)
tell(base, 'dead', id, cjson.encode({error = {name = 'JobCancelled', message = reason}}))
return 1
