-- Complete a job: the job, its run and the lease of the next job in one step.
--- ours settling
--- bullmq moveToFinished
--- ours finishing
--- ours leasing
local base = KEYS[1]
local id, token, now, result, options, leases_next = ARGV[1], ARGV[2], ARGV[3], ARGV[4], ARGV[5], ARGV[6] == '1'
local run, epoch, seq, lease_time = ARGV[7], ARGV[8], tonumber(ARGV[9]), ARGV[10]

local function complete()
  if leases_next then promote_urgent(base, now) end
  return finish(base, id, now, 'returnvalue', result, 'completed', '', options, leases_next)
end

local refused = outpaced(base, id, token, run, epoch, seq)
if refused then return refused end
local answer = complete()
if answer == -2 or answer == -1 or answer == -6 then
  local verdict = why_refused(base, id, token, 'completed', lease_time)
  if verdict then return {verdict} end
  answer = complete()
end
if run ~= '' and (answer == 0 or type(answer) == 'table') then redis.call('DEL', run) end
-- BullMQ leases the next job itself; 0 is a completed job without a next one.
if answer == 0 then return {'done'} end
if type(answer) ~= 'table' then return {'refused', answer} end
if type(answer[1]) == 'table' then forget_stalls(base, answer) end
return {'done', answer}
