-- Jobs of some states, newest first. Of a long queue only the ends that can hold the page are sorted.
--- ours copies
--- ours looking
local base, now, shown_after = KEYS[1], tonumber(ARGV[1]), ARGV[2]
local offset, limit = tonumber(ARGV[3]), tonumber(ARGV[4])
local wanted = {}
for place = 5, #ARGV do wanted[ARGV[place]] = true end
local reach = math.max(offset + limit, 500) - 1
local due = (now + 1) * 0x1000 - 1
local found = {}

local function add(ids, letters)
  for _, id in ipairs(ids) do
    local key = base .. (letters and 'cnstra:dead:' or '') .. id
    local age = redis.call('HMGET', key, 'timestamp', 'cn:seq')
    if age[1] then found[#found + 1] = {id, tonumber(age[1]) or 0, tonumber(age[2]) or 0, letters} end
  end
end

if wanted.waiting then
  add(redis.call('LRANGE', base .. 'wait', 0, reach))
  add(redis.call('LRANGE', base .. 'paused', 0, reach))
  add(redis.call('ZREVRANGE', base .. 'prioritized', 0, reach))
  add(redis.call('ZREVRANGEBYSCORE', base .. 'delayed', due, '-inf', 'LIMIT', 0, reach + 1))
end
if wanted.delayed then
  add(redis.call('ZREVRANGEBYSCORE', base .. 'delayed', '+inf', '(' .. string.format('%.0f', due), 'LIMIT', 0, reach + 1))
  add(redis.call('ZREVRANGE', base .. 'waiting-children', 0, reach))
end
if wanted.active then add(redis.call('LRANGE', base .. 'active', 0, reach)) end
if wanted.completed then
  add(redis.call('ZREVRANGEBYSCORE', base .. 'completed', '+inf', '(' .. shown_after, 'LIMIT', 0, reach + 1))
end
if wanted.dead then
  sort_copies(base, reach + 1)
  add(redis.call('ZREVRANGE', base .. 'failed', 0, reach))
  add(redis.call('ZREVRANGE', base .. 'cnstra:dead', 0, reach), true)
end
table.sort(found, function(one, other)
  if one[2] ~= other[2] then return one[2] > other[2] end
  if one[3] ~= other[3] then return one[3] > other[3] end
  return one[1] < other[1]
end)
local page = {}
for place = offset + 1, math.min(offset + limit, #found) do
  local id, is_letter = found[place][1], found[place][4]
  page[#page + 1] = is_letter and letter(base, id) or shown(base, id, now)
end
return page
