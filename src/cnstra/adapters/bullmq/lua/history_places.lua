-- Where a run stands among those of its queue by the ids of their jobs: of one job, the newest first.
local function place_of(job, seq, run)
  return job .. '\0' .. string.format('%016.0f', 9e15 - tonumber(seq)) .. '\0' .. run
end
