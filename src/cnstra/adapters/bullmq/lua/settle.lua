-- End a lease otherwise than with success: the job, its run and the lease of the next job in one step.
--- ours settling
--- ours burying
--- ours leasing
--- ours telling
--- ours releasing
--- bullmq moveToDelayed
--- bullmq retryJob
local base = KEYS[1]
local id, token, kind, now = ARGV[1], ARGV[2], ARGV[3], ARGV[4]
local value, fields, options = ARGV[5], ARGV[6], ARGV[7]
local delay, lease_time = tonumber(ARGV[8]), ARGV[9]
local run, epoch, seq, replaces_run = ARGV[10], ARGV[11], tonumber(ARGV[12]), ARGV[13] == '1'
local detail, run_time = ARGV[14], ARGV[15]
local cancelled, cancelled_fields = ARGV[16], ARGV[17]
local next_options = ARGV[18]
local job = base .. id

local function settle_job()
  if kind == 'failed' then
    return bury(base, id, now, value, fields, options, true)
  elseif redis.call('HEXISTS', job, 'cn:cancel') == 1 then
    return bury(base, id, now, cancelled, cancelled_fields, options, false)
  elseif delay > 0 then
    local skips = kind == 'requeued' and '1' or '0'
    return moveToDelayed({
      base .. 'marker', base .. 'active', base .. 'prioritized', base .. 'delayed', job, base .. 'events',
      base .. 'meta', base .. 'stalled', base .. 'wait', base .. 'limiter', base .. 'pc',
    }, {base, now, id, token, delay, skips, fields, '0'})
  elseif kind == 'retried' then
    local answer = retryJob({
      base .. 'active', base .. 'wait', base .. 'paused', job, base .. 'meta', base .. 'events',
      base .. 'delayed', base .. 'prioritized', base .. 'pc', base .. 'marker', base .. 'stalled',
    }, {base, now, 'LPUSH', id, token, fields})
    local urgency = tonumber(redis.call('HGET', job, 'cn:urgency'))
    if urgency and answer == 0 and redis.call('LREM', base .. 'wait', 1, id) == 1 then
      queue_urgent(base, id, urgency)
    end
    return answer
  end
  redis.call('HSET', job, unpack(cmsgpack.unpack(fields)))
  return give_back(base, id, token)
end

local function settle_run(known_epoch)
  if replaces_run then
    redis.call('DEL', run)
  elseif known_epoch == epoch then
    redis.call('HSET', run, 's', seq, 'r', epoch)
    redis.call('PEXPIRE', run, run_time)
  end
end

local refused, known_epoch = outpaced(base, id, token, run, epoch, seq)
if refused then return refused end
local was_cancelled = kind ~= 'failed' and redis.call('HEXISTS', job, 'cn:cancel') == 1
if redis.call('GET', job .. ':lock') ~= token then
  local verdict = why_refused(base, id, token, kind, lease_time)
  if verdict then return {verdict} end
end
local answer = settle_job()
if answer == -2 or answer == -1 or answer == -6 then
  local verdict = why_refused(base, id, token, kind, lease_time)
  if verdict then return {verdict} end
  answer = settle_job()
end
if answer ~= 0 then return {'refused', answer} end
if run ~= '' then settle_run(known_epoch) end
if was_cancelled then
  if redis.call('EXISTS', job) == 1 then redis.call('HSET', job, 'cn:end', token .. ' ' .. kind) end
  tell(base, 'dead', id, cjson.encode({error = {name = 'JobCancelled', message = cancelled}}))
else
  tell(base, kind == 'failed' and 'dead' or kind, id, detail)
end
if next_options == '' then return {'done'} end
return {'done', lease(base, tonumber(now), next_options, 1)[1]}
