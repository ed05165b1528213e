-- End a lease: the job, its run and the lease of the next job in one step.
--- ours ownership
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
  if kind == 'completed' then
    if next_options ~= '' then promote_urgent(base, now) end
    return finish(base, id, now, 'returnvalue', value, 'completed', fields, options, next_options ~= '')
  elseif kind == 'failed' then
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
  if kind == 'completed' or replaces_run then
    redis.call('DEL', run)
  elseif known_epoch == epoch then
    redis.call('HSET', run, 's', seq, 'r', epoch)
    redis.call('PEXPIRE', run, run_time)
  end
end

-- Why the job was refused: this very settlement has landed before, or the job is not ours any more. A lock that
-- ran out while nobody followed is taken again.
local function why_refused()
  local settled, last = has_settled(job, token)
  if settled then return last == token .. ' ' .. kind and 'repeated' or 'lost' end
  if kind == 'completed' and redis.call('HGET', job, 'pb') == token and redis.call('ZSCORE', base .. 'completed', id)
  then
    return 'repeated'
  end
  local is_ours, is_late = owns(job, token)
  if is_ours and is_late then
    redis.call('SET', job .. ':lock', token, 'PX', lease_time)
    return nil
  end
  return is_ours and 'refused' or 'lost'
end

-- An epoch below ours is an earlier attempt's: nobody has taken the run over since, or the lock would not be ours.
local known = {}
if run ~= '' and epoch ~= '' then
  known = redis.call('HMGET', run, 'e', 's')
  local lead = tonumber(known[1] or epoch) - tonumber(epoch)
  if lead > 0 or lead == 0 and tonumber(known[2] or 0) > seq then
    return {owns(job, token) and 'fenced' or 'lost', known[1]}
  end
end
local was_cancelled = kind ~= 'completed' and kind ~= 'failed' and redis.call('HEXISTS', job, 'cn:cancel') == 1
if kind ~= 'completed' and redis.call('GET', job .. ':lock') ~= token then
  local verdict = why_refused()
  if verdict then return {verdict} end
end
local answer = settle_job()
if answer == -2 or answer == -1 or answer == -6 then
  local verdict = why_refused()
  if verdict then return {verdict} end
  answer = settle_job()
end
-- BullMQ leases the next job itself where one is completed; 0 is a completed job without a next one.
local following = type(answer) == 'table' and answer
if not following and answer ~= 0 then return {'refused', answer} end
if run ~= '' then settle_run(known[1]) end
if was_cancelled then
  if redis.call('EXISTS', job) == 1 then redis.call('HSET', job, 'cn:end', token .. ' ' .. kind) end
  tell(base, 'dead', id, cjson.encode({error = {name = 'JobCancelled', message = cancelled}}))
elseif kind ~= 'completed' then
  tell(base, kind == 'failed' and 'dead' or kind, id, detail)
end
if following then
  if type(following[1]) == 'table' then forget_stalls(base, following) end
  return {'done', following}
elseif next_options ~= '' and kind ~= 'completed' then
  return {'done', lease(base, tonumber(now), next_options, 1)[1]}
end
return {'done'}
