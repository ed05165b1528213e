-- Runs of a list, newest first, below a number; or of those whose job's id begins so, by that id.
-- For each: its fields, and where it stands.
local base, way, list, cursor, limit = KEYS[1], ARGV[1], ARGV[2], ARGV[3], tonumber(ARGV[4])
local found, places = {}, {}
if way == 'newest' then
  found = redis.call('ZREVRANGEBYSCORE', base .. list, cursor, '-inf', 'LIMIT', 0, limit)
  places = found
else
  places = redis.call('ZRANGEBYLEX', base .. list, cursor, ARGV[5], 'LIMIT', 0, limit)
  for number, place in ipairs(places) do
    found[number] = string.match(place, '%z([^%z]*)$')
  end
end
local shown = {}
for number, run in ipairs(found) do
  local fields = redis.call('HMGET', base .. 'run:' .. run, 'seq', 'attempts', 'began', 'row')
  shown[number] = {fields[1], fields[2], fields[3], fields[4], places[number]}
end
return shown
