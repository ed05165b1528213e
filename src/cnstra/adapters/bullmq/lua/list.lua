-- Jobs of some states, newest first. Of a long queue only the ends that can hold the page are sorted.
--- ours copies
--- ours looking
local base, now, shown_after = KEYS[1], tonumber(ARGV[1]), ARGV[2]
local offset, limit = tonumber(ARGV[3]), tonumber(ARGV[4])
local wanted = {}
for place = 5, #ARGV do wanted[ARGV[place]] = true end
local reach = math.max(offset + limit, 500) - 1
local due = (now + 1) * 0x1000 - 1
local found, times = {}, {}

local function add(id, is_letter)
  local key = base .. (is_letter and 'cnstra:dead:' or '') .. id
  local at = tonumber(redis.call('HGET', key, 'timestamp'))
  if at then
    found[#found + 1] = {id, at, key, is_letter}
    times[#times + 1] = -at
  end
end

local function add_all(ids)
  for _, id in ipairs(ids) do add(id) end
end

-- Of sets with the times at which jobs ended, the newest first: the newest of all.
local function add_newest(sets, most)
  local places = {1, 1, 1}
  for _ = 1, most do
    local newest, at
    for number, set in ipairs(sets) do
      local ended_at = tonumber(set[places[number] + 1])
      if ended_at and (not newest or ended_at > at) then newest, at = number, ended_at end
    end
    if not newest then return end
    add(sets[newest][places[newest]], sets[newest].are_letters)
    places[newest] = places[newest] + 2
  end
end

if wanted.waiting then
  add_all(redis.call('LRANGE', base .. 'wait', 0, reach))
  add_all(redis.call('LRANGE', base .. 'paused', 0, reach))
  add_all(redis.call('ZREVRANGE', base .. 'prioritized', 0, reach))
  add_all(redis.call('ZREVRANGEBYSCORE', base .. 'delayed', due, '-inf', 'LIMIT', 0, reach + 1))
end
if wanted.delayed then
  add_all(redis.call('ZREVRANGEBYSCORE', base .. 'delayed', '+inf', '(' .. string.format('%.0f', due), 'LIMIT', 0, reach + 1))
  add_all(redis.call('ZREVRANGE', base .. 'waiting-children', 0, reach))
end
if wanted.active then add_all(redis.call('LRANGE', base .. 'active', 0, reach)) end
local ended = {}
if wanted.completed then
  ended[1] = redis.call('ZREVRANGEBYSCORE', base .. 'completed', '+inf', '(' .. shown_after, 'WITHSCORES', 'LIMIT', 0, reach + 1)
end
if wanted.dead then
  sort_copies(base, reach + 1)
  ended[#ended + 1] = redis.call('ZREVRANGE', base .. 'failed', 0, reach, 'WITHSCORES')
  ended[#ended + 1] = redis.call('ZREVRANGE', base .. 'cnstra:dead', 0, reach, 'WITHSCORES')
  ended[#ended].are_letters = true
end
add_newest(ended, math.max(offset + limit, 1000))
-- Numbers sort quickly: they tell which jobs may be on the page, and only these are compared.
table.sort(times)
local newest, oldest = -(times[offset + 1] or 0), -(times[math.min(offset + limit, #times)] or 0)
local near, before = {}, 0
for _, one in ipairs(found) do
  if one[2] > newest then
    before = before + 1
  elseif one[2] >= oldest then
    one[3] = tonumber(redis.call('HGET', one[3], 'cn:seq')) or 0
    near[#near + 1] = one
  end
end
table.sort(near, function(one, other)
  if one[2] ~= other[2] then return one[2] > other[2] end
  if one[3] ~= other[3] then return one[3] > other[3] end
  return one[1] < other[1]
end)
local page = {}
for place = offset - before + 1, math.min(offset - before + limit, #near) do
  local id, is_letter = near[place][1], near[place][4]
  page[#page + 1] = is_letter and letter(base, id) or shown(base, id, now)
end
return page
