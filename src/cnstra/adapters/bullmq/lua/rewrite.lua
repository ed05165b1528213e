-- Replace the progress that a dead job carries, if it is still the one that was read. 1 if so.
local base, id, before, after = KEYS[1], ARGV[1], ARGV[2], ARGV[3]
local place = base .. id
if not redis.call('ZSCORE', base .. 'failed', id) then
  place = base .. 'cnstra:dead:' .. id
end
if redis.call('HGET', place, 'progress') ~= before then return 0 end
redis.call('HSET', place, 'progress', after)
return 1
