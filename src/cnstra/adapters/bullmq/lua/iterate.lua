-- Add the job of a scheduler that follows on this one, unless that has been done.
--- bullmq updateJobScheduler
local base, now, id, scheduler, due_at, options = KEYS[1], ARGV[1], ARGV[2], ARGV[3], ARGV[4], ARGV[5]
return updateJobScheduler({
  base .. 'repeat', base .. 'delayed', base .. 'wait', base .. 'paused', base .. 'meta', base .. 'prioritized',
  base .. 'marker', base .. 'id', base .. 'events', base .. 'pc', base .. id, base .. 'active',
}, {due_at, scheduler, '', options, now, base, id})
