-- Who may end an attempt: the worker that names its token, or a scheduler that names the state it
-- read (`proof`, "state/attempt") and the due date it found (`member`, `score`; '' = no date).
local function speaks_for(a)
  if not a then return false end
  if token ~= '' then return a.token == token and (a.state == 'r' or a.state == 'c') end
  if a.state .. '/' .. a.attempt ~= proof then return false end
  if member == '' then return true end
  local set = string.sub(member, 1, 1) == 'c' and timers_key or leases_key
  return rcall('ZSCORE', set, member) == score
end
