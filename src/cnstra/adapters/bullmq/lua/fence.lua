-- Whether a write with this epoch and number may land: 0 yes, 1 it has landed, 2 no.
local function fence(run, epoch, seq, may_begin)
  local known = redis.call('HMGET', run, 'e', 's', 'x')
  if not known[1] then return may_begin and 0 or 2, 0 end
  if known[1] == epoch and tonumber(known[2] or 0) == seq then return 1, known[1] end
  if known[1] ~= epoch or tonumber(known[2] or 0) > seq or known[3] then return 2, known[1] end
  return 0, known[1]
end
