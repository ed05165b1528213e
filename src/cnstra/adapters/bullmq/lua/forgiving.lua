-- Forget the crashes that a dead job died of: in its run, or else in the progress that it carries, of which `progress`
-- is what is left without them. 1 if it was that.
local function forgive(job, run, progress)
  if redis.call('EXISTS', run) == 1 then
    for _, entry in ipairs(redis.call('HKEYS', run)) do
      if string.sub(entry, 1, 3) == ':s/' then redis.call('HDEL', run, entry) end
    end
  elseif progress ~= '' then
    redis.call('HSET', job, 'progress', progress)
    return 1
  end
  return 0
end
