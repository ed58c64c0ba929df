-- Request numbers of a client session (design 5.10): what was applied since the lowest number still
-- unanswered. A number is a repeat when it was applied, or when its client has its answer already;
-- a refused one left no trace, so its repeat is judged afresh. A silent session goes after 10 minutes.
-- Fields of the hash: low, the highest `lowest` heard of; kept, the lowest number not deleted yet.
local session
local function repeated()
  if request == 0 then return false end
  session = rcall('HMGET', sess_key, 'low', 'kept', request)
  return request < tonumber(session[1] or '0') or session[3]
end

-- What is below the lowest number goes, 500 at a time: many wait where one was answered late.
local function remember()
  if request == 0 then return end
  local v = session or rcall('HMGET', sess_key, 'low', 'kept')
  local low = math.max(tonumber(v[1] or '0'), lowest)
  local kept = tonumber(v[2] or low)
  local upto = math.min(low, kept + 500)
  for n = kept, upto - 1 do rcall('HDEL', sess_key, n) end
  rcall('HSET', sess_key, request, 1, 'low', low, 'kept', upto)
  rcall('PEXPIRE', sess_key, 600000)
end
