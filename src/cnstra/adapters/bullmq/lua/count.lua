-- How many jobs are waiting, delayed, active, completed and dead.
--- ours copies
local base, now, shown_after = KEYS[1], tonumber(ARGV[1]), ARGV[2]
sort_copies(base)
local due = string.format('%.0f', (now + 1) * 0x1000 - 1)
local due_by_now = redis.call('ZCOUNT', base .. 'delayed', '-inf', due)
return {
  redis.call('LLEN', base .. 'wait') + redis.call('LLEN', base .. 'paused')
    + redis.call('ZCARD', base .. 'prioritized') + due_by_now,
  redis.call('ZCARD', base .. 'delayed') - due_by_now + redis.call('ZCARD', base .. 'waiting-children'),
  redis.call('LLEN', base .. 'active'),
  redis.call('ZCOUNT', base .. 'completed', '(' .. shown_after, '+inf'),
  redis.call('ZCARD', base .. 'failed') + redis.call('ZCARD', base .. 'cnstra:dead'),
}
