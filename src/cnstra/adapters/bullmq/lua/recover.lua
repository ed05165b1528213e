-- Put back the jobs whose lease has run out, and those that were leased to us in an answer that never came; see what
-- became of those that failed. A stall count of BullMQ's own judges none of them.
--- ours burying
--- ours telling
--- ours urgency
--- ours releasing
--- bullmq moveStalledJobsToWait
local base, now = KEYS[1], ARGV[1]
local cancelled, cancelled_fields, options = ARGV[2], ARGV[3], ARGV[4]
local unheard, known, tokens = {}, {}, tonumber(ARGV[5])
for place = 6, 5 + tokens do unheard[ARGV[place]] = true end
for place = 6 + tokens, #ARGV do known[ARGV[place]] = true end
sort_copies(base)
local active = redis.call('LRANGE', base .. 'active', 0, -1)
local is_stalled = false
for _, id in ipairs(active) do
  local lock = redis.call('GET', base .. id .. ':lock')
  if lock and unheard[lock] and not known[id] then
    if give_back(base, id, lock) == 0 then tell(base, 'requeued', id, cjson.encode({delay = 0})) end
  elseif not lock then
    is_stalled = true
    redis.call('SADD', base .. 'stalled', id)
    if redis.call('HEXISTS', base .. id, 'cn:cancel') == 1 then
      bury(base, id, now, cancelled, cancelled_fields, options, false)
      redis.call('SREM', base .. 'stalled', id)
      tell(base, 'dead', id, cjson.encode({error = {name = 'JobCancelled', message = cancelled}}))
    end
  end
end
if not is_stalled then return {} end
local check = base .. 'cnstra:stalled-check'
redis.call('DEL', check)
local stalled = moveStalledJobsToWait({
  base .. 'stalled', base .. 'wait', base .. 'active', check, base .. 'meta', base .. 'paused',
  base .. 'marker', base .. 'events', base .. 'repeat',
}, {'1000000000', base, now, '1'})
for _, id in ipairs(stalled) do
  redis.call('LREM', base .. 'wait', -1, id)
  put_back(base, id)
end
if redis.call('HEXISTS', base .. 'meta', 'paused') == 1 then redis.call('DEL', base .. 'marker') end
return stalled
