-- Complete jobs: each with its run, and with the lease of the next job, in one step. One that fails so fails alone.
--- ours settling
--- bullmq moveToFinished
--- ours finishing
--- ours leasing
local base, now = KEYS[1], ARGV[1]
local keys = finishing_keys(base, 'completed')

local is_promoted = false

local function finish_one(id, result, options, leases_next)
  if leases_next and not is_promoted then
    promote_urgent(base, now)
    is_promoted = true
  end
  return finish(keys, base, id, now, 'returnvalue', result, 'completed', '', options, leases_next)
end

local function complete(id, token, result, options, leases_next, run, epoch, seq, lease_time)
  local refused = outpaced(base, id, token, run, epoch, seq)
  if refused then return refused end
  local answer = finish_one(id, result, options, leases_next)
  if answer == -2 or answer == -1 or answer == -6 then
    local verdict = why_refused(base, id, token, 'completed', lease_time)
    if verdict then return {verdict} end
    answer = finish_one(id, result, options, leases_next)
  end
  if run ~= '' and (answer == 0 or type(answer) == 'table') then redis.call('DEL', run) end
  -- BullMQ leases the next job itself; 0 is a completed job without a next one.
  if answer == 0 then return {'done'} end
  if type(answer) ~= 'table' then return {'refused', answer} end
  if type(answer[1]) == 'table' then forget_stalls(base, answer) end
  return {'done', answer}
end

local answers = {}
for at = 2, #ARGV, 9 do
  local id, token, result, options, leases_next, run, epoch, seq, lease_time = unpack(ARGV, at, at + 8)
  local is_well, answer =
    pcall(complete, id, token, result, options, leases_next == '1', run, epoch, tonumber(seq), lease_time)
  answers[#answers + 1] = is_well and answer or {'error', type(answer) == 'table' and answer.err or tostring(answer)}
end
return answers
