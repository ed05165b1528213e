-- The first of these ids that the queue holds.
--- ours copies
--- ours looking
local base, now = KEYS[1], tonumber(ARGV[1])
for place = 2, #ARGV do
  local id = ARGV[place]
  if redis.call('EXISTS', base .. id) == 0 and redis.call('EXISTS', base .. 'cnstra:copy:' .. id) == 1 then
    sort_copies(base)
  end
  local found = shown(base, id, now)
  if found then return found end
end
return false
