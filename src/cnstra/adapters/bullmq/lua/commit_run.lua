-- Write what has changed in a run. A run of a leased job is its owner's alone, and begins with its first write.
--- ours ownership
--- ours fence
local run, epoch, seq, released, keep = KEYS[1], ARGV[1], tonumber(ARGV[2]), ARGV[3] == '1', ARGV[4]
local job, token, afresh, origin = ARGV[5], ARGV[6], ARGV[7] == '1', ARGV[8]
if job ~= '' and not owns(job, token) then return {'fenced', 0} end
local verdict, found = fence(run, epoch, seq, job ~= '')
if verdict == 2 and not (afresh and job ~= '' and tonumber(found) <= tonumber(epoch)) then
  return {'fenced', found}
end
if verdict == 1 then return {'repeated'} end
if afresh then redis.call('DEL', run) end
local puts = tonumber(ARGV[9])
for from = 10, 9 + 2 * puts, 2000 do
  redis.call('HSET', run, unpack(ARGV, from, math.min(from + 1999, 9 + 2 * puts)))
end
for from = 10 + 2 * puts, #ARGV, 2000 do
  redis.call('HDEL', run, unpack(ARGV, from, math.min(from + 1999, #ARGV)))
end
redis.call('HSET', run, 'e', epoch, 's', seq, 'p', origin)
if released then redis.call('HSET', run, 'r', epoch) end
redis.call('PEXPIRE', run, keep)
return {'done'}
