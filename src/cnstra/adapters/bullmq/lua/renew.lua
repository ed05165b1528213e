-- Extend many leases: 2 kept, 1 kept though somebody asks for the job's end, 0 lost.
--- ours ownership
local base, lease_time = KEYS[1], ARGV[1]
local states = {}
for place = 2, #ARGV, 2 do
  local id, token = ARGV[place], ARGV[place + 1]
  local job = base .. id
  if not owns(job, token) then
    states[#states + 1] = 0
  else
    redis.call('SET', job .. ':lock', token, 'PX', lease_time)
    redis.call('SREM', base .. 'stalled', id)
    states[#states + 1] = redis.call('HEXISTS', job, 'cn:cancel') == 1 and 1 or 2
  end
end
return states
