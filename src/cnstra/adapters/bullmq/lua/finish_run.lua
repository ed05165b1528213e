-- Replace the progress of a run by its result. The run itself is remembered for longer, to refuse late writes.
--- ours fence
local run, epoch, seq, result, expires_at, keep = KEYS[1], ARGV[1], tonumber(ARGV[2]), ARGV[3], ARGV[4], ARGV[5]
local verdict, found = fence(run, epoch, seq, false)
if verdict == 2 then return {'fenced', found} end
if verdict == 1 then return {'repeated'} end
redis.call('DEL', run)
redis.call('HSET', run, 'e', epoch, 's', seq, 'r', epoch, 'x', result)
if expires_at ~= '' then
  redis.call('HSET', run, 't', expires_at)
  redis.call('PEXPIRE', run, keep)
end
return {'done'}
