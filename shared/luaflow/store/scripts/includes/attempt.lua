-- Who may end an attempt: the worker that names its token, or a scheduler that names the state it
-- read (`proof`, "state/attempt") and the due date it found (`member`, `score`; '' = no date).
-- text: the record of the activity (see activity.lua).
local function speaks_for(text)
  if not text then return false end
  local state, attempt, holder = string.match(text, '^(%l)|(%d+)|([^|]*)')
  if token ~= '' then return holder == token and (state == 'r' or state == 'c') end
  if state .. '/' .. tonumber(attempt) ~= proof then return false end
  if member == '' then return true end
  local set = string.sub(member, 1, 1) == 'c' and timers_key or leases_key
  return rcall('ZSCORE', set, member) == score
end
