-- Of the operations of a decision (see operations.lua) those on activities: A, L, R.
local OPS = {}

local function new_activity(r, i, state, token, owner, s2c, hb, s2e)
  local seq = ARGV[i + 1]
  append(r, 'ActivityTaskScheduled', ARGV[i + 2])
  local a = {
    state = state, attempt = 1, token = token, worker = owner, started = server_now, event = r.len,
    scheduled = server_now, s2c = tonumber(s2c), hb = tonumber(hb), beat = server_now
  }
  save_activity(seq, a)
  if ARGV[i + 3] ~= '' then rcall('HSET', pend_key, 'o:' .. seq, ARGV[i + 3]) end
  s2e = tonumber(s2e)
  if s2e > 0 then set_timer('c|' .. run_id .. '|' .. seq, now + s2e) end
  return seq, a
end

function OPS.A(r, i)
  local queue = KEYS[tonumber(ARGV[i + 4])]
  local entry = rcall('XADD', queue, '*', 'r', run_id, 'w', r.wid, 's', ARGV[i + 1], 'n', 1)
  local seq = new_activity(r, i, 'q', entry, '', ARGV[i + 5], ARGV[i + 6], ARGV[i + 8])
  local s2s = tonumber(ARGV[i + 7])
  if s2s > 0 then set_lease('s|' .. run_id .. '|' .. seq, server_now + s2s) end
  return i + 9
end

function OPS.L(r, i)
  local seq, a = new_activity(r, i, 'r', ARGV[i + 4], ARGV[i + 5], ARGV[i + 6], ARGV[i + 7], ARGV[i + 8])
  watch_activity(seq, a)
  return i + 9
end

function OPS.R(r, i)
  append(r, 'ActivityTaskCancelRequested', ARGV[i + 2])
  local target = ARGV[i + 3]
  local a = load_activity(target)
  if a and (a.state == 'r' or a.state == 'c') then
    a.state = 'c'
    save_activity(target, a)
  elseif a then
    -- not running: a scheduler tells the end of it
    a.state = 'x'
    save_activity(target, a)
    set_lease('a|' .. run_id .. '|' .. target, server_now)
  end
  return i + 4
end
