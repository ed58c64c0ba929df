-- What a decision asks for, as the worker spells it in ARGV; KEYS are named by their index.
--   E type body                              an event and nothing else (markers, attributes …)
--   A seq body opts queue s2c hb s2s s2e     activity on a queue: queue is a KEYS index
--   L seq body opts token worker s2c hb s2e  activity kept by this worker (eager), started at once
--   R seq body target                        ask for the cancellation of activity `target`
--   T seq body ms                            timer            t seq body target   timer canceled
--   C seq type body key receiver message rec request to another workflow, through the outbox
--   H field value                            a field of the run that describe shows (attrs, memo)
--   Z status type body key receiver message close   the end; key 0: nobody to tell
local OPS = {}

function OPS.E(r, i)
  append(r, ARGV[i + 1], ARGV[i + 2])
  return i + 3
end

function OPS.H(_, i)
  rcall('HSET', run_key, ARGV[i + 1], ARGV[i + 2])
  return i + 3
end

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

function OPS.T(r, i)
  append(r, 'TimerStarted', ARGV[i + 2])
  local due = now + tonumber(ARGV[i + 3])
  rcall('HSET', pend_key, 't:' .. ARGV[i + 1], due)
  set_timer('t|' .. run_id .. '|' .. ARGV[i + 1], due)
  return i + 4
end

function OPS.t(r, i)
  append(r, 'TimerCanceled', ARGV[i + 2])
  rcall('HDEL', pend_key, 't:' .. ARGV[i + 3])
  rcall('ZREM', timers_key, 't|' .. run_id .. '|' .. ARGV[i + 3])
  return i + 4
end

function OPS.C(r, i)
  append(r, ARGV[i + 2], ARGV[i + 3])
  rcall('HSET', pend_key, 'c:' .. ARGV[i + 1], ARGV[i + 7])
  post(KEYS[tonumber(ARGV[i + 4])], ARGV[i + 5], ARGV[i + 6])
  return i + 8
end

function OPS.Z(r, i)
  if ARGV[i + 4] ~= '0' then post(KEYS[tonumber(ARGV[i + 4])], ARGV[i + 5], ARGV[i + 6]) end
  close_run(r, ARGV[i + 1], ARGV[i + 2], ARGV[i + 3])
  return i + 8
end

local function run_operations(r, i)
  while i <= #ARGV do i = OPS[ARGV[i]](r, i) end
end
