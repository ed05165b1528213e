-- Pause the queue or let it go on, once.
--- bullmq pause
local base, paused = KEYS[1], ARGV[1] == '1'
if paused == (redis.call('HEXISTS', base .. 'meta', 'paused') == 1) then return 0 end
local from, to = base .. (paused and 'wait' or 'paused'), base .. (paused and 'paused' or 'wait')
pause({
  from, to, base .. 'meta', base .. 'prioritized', base .. 'events', base .. 'delayed', base .. 'marker',
}, {paused and 'paused' or 'resumed', '1'})
return 1
