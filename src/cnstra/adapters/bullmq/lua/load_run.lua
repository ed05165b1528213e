-- Take the next epoch of a run: the larger one of `floor` and the one after the last. A run that was never
-- written exists only if `must_exist` is not set.
--   e, s  epoch and number of the last write      r  the epoch that was released last
--   p     the job's progress that this descends from
--   x, t  the result, and when it expires         :KEY  an entry of the progress
local run, floor, now, must_exist, keep = KEYS[1], tonumber(ARGV[1]), tonumber(ARGV[2]), ARGV[3] == '1', ARGV[4]
local known = redis.call('HMGET', run, 'e', 'r', 't')
if not known[1] and must_exist then return {} end
local last = tonumber(known[1] or 0)
local held = known[1] and known[1] ~= known[2] and 1 or 0
local epoch = math.max(last + 1, floor)
if known[3] and tonumber(known[3]) <= now then
  redis.call('HDEL', run, 'x', 't')
  held = 0
end
redis.call('HSET', run, 'e', epoch)
redis.call('PEXPIRE', run, keep)
return {epoch, held, redis.call('HGETALL', run)}
