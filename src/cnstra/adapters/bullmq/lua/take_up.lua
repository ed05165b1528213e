-- Begin afresh with a dead job that others have put back. What it dies of from now on is counted again.
--- ours forgiving
local base, id, run, progress = KEYS[1], ARGV[1], ARGV[2], ARGV[3]
redis.call('HDEL', base .. id, 'cn:end')
return forgive(base .. id, run, progress)
