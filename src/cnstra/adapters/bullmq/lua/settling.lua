-- Whether a job may be settled, and by whom.
--- ours ownership

-- An epoch below ours is an earlier attempt's: nobody has taken the run over since, or the lock would not be ours.
-- Returns the answer that refuses the settlement, or nil and the epoch that the run has.
local function outpaced(base, id, token, run, epoch, seq)
  if run == '' or epoch == '' then return nil end
  local known = redis.call('HMGET', run, 'e', 's')
  local lead = tonumber(known[1] or epoch) - tonumber(epoch)
  if lead > 0 or lead == 0 and tonumber(known[2] or 0) > seq then
    return {owns(base .. id, token) and 'fenced' or 'lost', known[1]}
  end
  return nil, known[1]
end

-- Why the job was refused: this very settlement has landed before, or the job is not ours any more. A lock that
-- ran out while nobody followed is taken again.
local function why_refused(base, id, token, kind, lease_time)
  local job = base .. id
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
  return 'lost'
end
