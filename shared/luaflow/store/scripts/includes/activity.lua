-- The record of a pending activity, field a:<seq> of pend:<run id>, as one string:
--   state|attempt|token|worker|started|event|scheduled|start_to_close|heartbeat|beat
-- state: q queued, r running, b waiting for its retry, x canceled before it ran, c running, to cancel.
-- attempt 01, and not 1: nothing else was written about it, neither here nor among the timers (what
-- spells the record anew leaves the 0 out, but for the one that takes it).
-- token: who may end the attempt; while it is queued, the id of its entry in the queue.
-- worker: '@' when none holds it: it was deferred, and is ended from outside or by its time.
-- Times in ms of server time; event is the id of ActivityTaskScheduled, 0 for a plain job, whose
-- hash has all this itself, and what it is to do in e:<seq>. What only people and retry rules
-- need is JSON in o:<seq>; heartbeat details are in h:<seq>; p:<seq> is the attempt for which
-- rate limits have reserved a moment, and that moment: attempt|time.
local function parse_activity(text)
  if not text then return nil end
  local f = {}
  for part in string.gmatch(text, '([^|]*)|?') do f[#f + 1] = part end
  return {
    state = f[1], attempt = tonumber(f[2]), token = f[3], worker = f[4], started = tonumber(f[5]),
    event = tonumber(f[6]), scheduled = tonumber(f[7]), s2c = tonumber(f[8]), hb = tonumber(f[9]),
    beat = tonumber(f[10])
  }
end

local function load_activity(seq)
  return parse_activity(rcall('HGET', pend_key, 'a:' .. seq))
end

local function is_light(text)
  return string.find(text, '^%l|01|') ~= nil
end

local function spell_activity(a, light)
  return string.format(light and '%s|0%d|%s|%s|%d|%d|%d|%d|%d|%d' or '%s|%d|%s|%s|%d|%d|%d|%d|%d|%d', a.state,
    a.attempt, a.token, a.worker, a.started, a.event, a.scheduled, a.s2c, a.hb, a.beat)
end

local function save_activity(seq, a)
  rcall('HSET', pend_key, 'a:' .. seq, spell_activity(a))
end

-- The earliest moment at which a running attempt is late: its lease, its time, its heartbeat.
local function late(a)
  local due = a.worker == '@' and math.huge or server_now + lease_ms
  if a.s2c > 0 then due = math.min(due, a.started + a.s2c) end
  if a.hb > 0 then due = math.min(due, a.beat + a.hb) end
  return due
end

local function watch_activity(seq, a)
  local due = late(a)
  if due < math.huge then
    set_lease('a|' .. run_id .. '|' .. seq, due)
  else
    rcall('ZREM', leases_key, 'a|' .. run_id .. '|' .. seq)
  end
end
