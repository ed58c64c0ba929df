-- Of the operations of a decision (see operations.lua) those that begin activities: L, A.
-- The record, what schedulers must know of it, and the end of its time where it has one. `before` and
-- `after` are the parts of the record around the id of its event (see activity.lua).
local function new_activity(r, i, before, after, s2e)
  local seq = ARGV[i + 1]
  append(r, 'ActivityTaskScheduled', ARGV[i + 2])
  local record = before .. r.len .. after
  if ARGV[i + 3] == '' then
    rcall('HSET', pend_key, 'a:' .. seq, record)
  else
    rcall('HSET', pend_key, 'a:' .. seq, record, 'o:' .. seq, ARGV[i + 3])
  end
  if s2e ~= '0' then set_timer('c|' .. run_id .. '|' .. seq, now + tonumber(s2e)) end
  return seq
end

local function activity_operation(r, i)
  local op = ARGV[i]
  if op == 'L' then
    local at, attempt = string.format('|%d|', server_now), '|1|'
    if ARGV[i + 3] == '' and ARGV[i + 8] == '0' then attempt = '|01|' end
    local seq = new_activity(r, i, 'r' .. attempt .. ARGV[i + 4] .. '|' .. ARGV[i + 5] .. at,
      at .. ARGV[i + 6] .. '|' .. ARGV[i + 7] .. string.sub(at, 1, -2), ARGV[i + 8])
    local due, s2c, hb = lease_ms, tonumber(ARGV[i + 6]), tonumber(ARGV[i + 7])
    if s2c > 0 then due = math.min(due, s2c) end
    if hb > 0 then due = math.min(due, hb) end
    set_lease('a|' .. run_id .. '|' .. seq, server_now + due)
    return i + 9
  elseif op == 'A' then
    local wid, at = rcall('HGET', run_key, 'wid'), string.format('|%d|', server_now)
    local queue = KEYS[tonumber(ARGV[i + 4])]
    local entry = rcall('XADD', queue, '*', 'r', run_id, 'w', wid, 's', ARGV[i + 1], 'n', 1)
    local s2s, attempt = tonumber(ARGV[i + 7]), 'q|1|'
    if ARGV[i + 3] == '' and s2s == 0 and ARGV[i + 8] == '0' then attempt = 'q|01|' end
    local seq = new_activity(r, i, attempt .. entry .. '|' .. at,
      at .. ARGV[i + 5] .. '|' .. ARGV[i + 6] .. string.sub(at, 1, -2), ARGV[i + 8])
    if s2s > 0 then set_lease('s|' .. run_id .. '|' .. seq, server_now + s2s) end
    return i + 9
  end
end
