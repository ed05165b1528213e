-- Fail a job. What BullMQ would delete, now or later, is copied first. Whoever takes it up again has not cancelled it.
--- ours copies
--- bullmq moveToFinished
--- ours finishing

-- `counts`: whether the attempt counts as made, as BullMQ always has it.
local function bury(base, id, now, reason, fields, options, counts)
  local copy = base .. 'cnstra:copy:' .. id
  put_aside(base, id, now, reason, fields)
  local keys = finishing_keys(base, 'failed')
  local answer = finish(keys, base, id, now, 'failedReason', reason, 'failed', fields, options)
  if type(answer) == 'number' and answer < 0 then
    forget_copy(base, id)
    return answer
  end
  local is_kept = redis.call('EXISTS', base .. id) == 1
  redis.call('HDEL', base .. id, 'cn:cancel')
  if counts then
    redis.call('HINCRBY', copy, 'atm', 1)
  elseif is_kept then
    redis.call('HINCRBY', base .. id, 'atm', -1)
  end
  if not is_kept then sort_copies(base) end
  return 0
end
