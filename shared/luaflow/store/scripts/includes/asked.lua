-- Ids that callers give their requests (design 5.10): a repeat is recognised before anything else, and
-- answered as the first time. They are in the hash of the workflow id, and live as long as it does:
--   q:<id>          what was done: '<event id>|<run id>'
--   q#<n % 1000>    the id of the n-th request: the next one in its place ends its memory
--   q#              how many there were
-- A refused request leaves no trace. Uses ARGV asked: the id, '' = the caller gave none.
local function done_before()
  local text = asked ~= '' and rcall('HGET', wf_key, 'q:' .. asked)
  if not text then return nil end
  return string.match(text, '^(%d+)|(.*)$')
end

local function note(event, run)
  if asked == '' then return end
  local place = 'q#' .. rcall('HINCRBY', wf_key, 'q#', 1) % 1000
  local oldest = rcall('HGET', wf_key, place)
  if oldest then rcall('HDEL', wf_key, 'q:' .. oldest) end
  rcall('HSET', wf_key, place, asked, 'q:' .. asked, event .. '|' .. run)
end
