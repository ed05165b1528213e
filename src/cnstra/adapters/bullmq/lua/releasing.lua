-- Give a leased job back, to its place, without an attempt.
--- bullmq moveJobFromActiveToWait
local function give_back(base, id, token)
  local answer = moveJobFromActiveToWait({
    base .. 'active', base .. 'wait', base .. 'stalled', base .. 'paused', base .. 'meta', base .. 'limiter',
    base .. 'prioritized', base .. 'marker', base .. 'events',
  }, {id, token, base .. id})
  if answer < 0 then return answer end
  if redis.call('LREM', base .. 'wait', -1, id) == 1 or redis.call('ZSCORE', base .. 'prioritized', id) then
    put_back(base, id)
  end
  if redis.call('HEXISTS', base .. 'meta', 'paused') == 1 then redis.call('DEL', base .. 'marker') end
  return 0
end
