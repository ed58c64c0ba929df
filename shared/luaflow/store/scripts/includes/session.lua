-- Request numbers of a client session (design 5.10): what was applied since the lowest number still
-- unanswered. A number is a repeat when it was applied, or when its client has its answer already;
-- a refused one left no trace, so its repeat is judged afresh. A silent session goes after 10 minutes.
local function repeated()
  if request == 0 then return false end
  local low = tonumber(rcall('HGET', sess_key, 'low') or '0')
  return request < low or rcall('HEXISTS', sess_key, request) == 1
end

local function remember()
  if request == 0 then return end
  local low = tonumber(rcall('HGET', sess_key, 'low') or '0')
  for n = math.max(low, lowest - 500), lowest - 1 do rcall('HDEL', sess_key, n) end
  rcall('HSET', sess_key, request, 1, 'low', math.max(low, lowest))
  rcall('PEXPIRE', sess_key, 600000)
end
