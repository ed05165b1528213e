-- The first of these ids that the queue holds.
--- ours looking
for place = 2, #ARGV do
  local found = shown(KEYS[1], ARGV[place], tonumber(ARGV[1]))
  if found then return found end
end
return false
