-- Begin afresh with a dead job that others have put back, if it is ours still. What it dies of from now on is
-- counted again.
--- ours forgiving
local base, id, token, run, progress = KEYS[1], ARGV[1], ARGV[2], ARGV[3], ARGV[4]
if redis.call('GET', base .. id .. ':lock') ~= token then return 0 end
redis.call('HDEL', base .. id, 'cn:end')
return forgive(base .. id, run, progress)
