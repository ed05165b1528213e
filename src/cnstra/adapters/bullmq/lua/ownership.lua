-- Whose a job is, and which of our fields beside BullMQ's own are:
--   cn:end      the lock token and the kind of the last settlement, so that a repeat is known as one
--   cn:cancel   somebody asks for the job's end
--   cn:error    the name of the error of the last failed attempt
--   cn:seq      in which order jobs were added
--   cn:urgency  a priority above BullMQ's highest: the job waits at the head of the list
local rcall = redis.call

local function has_settled(job, token)
  local last = rcall('HGET', job, 'cn:end')
  return last and string.sub(last, 1, #token + 1) == token .. ' ', last
end

-- A lock that ran out is still its owner's while nobody has followed: `pb` names who took the job last, and
-- whoever finds it stalled counts that in `stc`.
local function owns(job, token)
  local lock = rcall('GET', job .. ':lock')
  if lock then
    return lock == token, false
  end
  local last = rcall('HMGET', job, 'pb', 'stc', 'finishedOn')
  local alone = last[1] == token and (tonumber(last[2]) or 0) == 0 and not last[3]
  return alone and not has_settled(job, token), true
end
