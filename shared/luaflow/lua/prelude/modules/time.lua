--- The `time` module: now, durable sleeps and timers, durations and dates.
local K = ...
local N = K.native
local S, D, T, channel = K.scheduler, K.durations, K.calendar, K.channel
local invalid = K.errors.invalid
local type, tostring, setmetatable = N.type, N.tostring, N.setmetatable
local STATE, own, whole = K.STATE, K.stable.own, T.whole

local M = {
  NANOSECOND = 1, MICROSECOND = 1000, MILLISECOND = 1000000, SECOND = 1000000000,
  MINUTE = 60000000000, HOUR = 3600000000000,
  RFC3339 = "2006-01-02T15:04:05Z07:00", RFC3339NANO = "2006-01-02T15:04:05.999999999Z07:00",
  RFC822 = "02 Jan 06 15:04 MST", RFC822Z = "02 Jan 06 15:04 -0700",
  RFC850 = "Monday, 02-Jan-06 15:04:05 MST", RFC1123 = "Mon, 02 Jan 2006 15:04:05 MST",
  RFC1123Z = "Mon, 02 Jan 2006 15:04:05 -0700", KITCHEN = "3:04PM", STAMP = "Jan _2 15:04:05",
  STAMP_MILLI = "Jan _2 15:04:05.000", STAMP_MICRO = "Jan _2 15:04:05.000000",
  STAMP_NANO = "Jan _2 15:04:05.000000000", DATE_TIME = "2006-01-02 15:04:05",
  DATE_ONLY = "2006-01-02", TIME_ONLY = "15:04:05", utc = T.utc.object,
  localtz = T.localtz.object,
}
for i = 1, 12 do M[N.string.upper(K.layouts.months[i])] = i end
for i = 0, 6 do M[N.string.upper(K.layouts.days[i])] = i end

--- Nanoseconds since 1970: the largest event time fed; outside workflows the wall clock.
function K.now_ns()
  if K.kind == "workflow" then return K.run.now * 1000000 end
  return (S.service("now"))
end

function M.now()
  local ns = K.now_ns()
  return T.make(ns // 1000000000, ns % 1000000000, K.kind == "workflow" and T.utc or T.localtz)
end

-- Waiting --------------------------------------------------------------------------------------

local function cancel_timer(seq)
  if S.forget(seq) then S.emit("cancel_timer", tostring(seq)) end
end

function S.withdraw.sleep(_, task)
  cancel_timer(task.seq)
  return true
end

function M.sleep(duration)
  local ns, wrong = D.ns(duration)
  if not ns then return nil, invalid(wrong) end
  local stop = S.enter("time.sleep")
  if stop then return nil, stop end
  if ns <= 0 then return end
  local _, err = S.await(S.emit("timer", nil, tostring(ns)), "sleep")
  if err then return nil, err end
end

-- Nanoseconds above zero, or nil and an error.
local function positive(duration, what)
  local ns, wrong = D.ns(duration)
  if not ns then return nil, invalid(wrong) end
  if ns <= 0 then return nil, invalid(what .. " duration must be > 0") end
  return ns
end

local Timer, timer_methods = K.class("time.Timer")

local function arm(timer, ns)
  timer.seq = S.emit("timer", nil, tostring(ns))
  S.on_end(timer.seq, function(ok)
    timer.seq = false
    if not ok then return end
    local run = K.run
    if channel.has_room(timer.channel) then
      channel.push(run, timer.channel, T.from_ns(run.now * 1000000))
    end
    if timer.once then channel.close(run, timer.channel) end
    if timer.period then arm(timer, timer.period) end
  end)
end

-- The state of an armed timer, or nil and an error. `once`: its channel closes when it fires.
local function timer_of(class, duration, what, room, once)
  local ns, err = positive(duration, what)
  if not ns then return nil, err end
  S.enter("time." .. what, true)
  local timer = {
    seq = false, channel = channel.make(room), once = once or false, stopped = false,
    period = what == "ticker" and ns,
  }
  own(timer.channel.object)
  timer.object = own(setmetatable({[STATE] = timer}, class))
  arm(timer, ns)
  return timer
end

function M.after(duration)
  local timer, err = timer_of(Timer, duration, "after", 1, true)
  if not timer then return nil, err end
  return timer.channel.object
end

function M.timer(duration)
  local timer, err = timer_of(Timer, duration, "timer", 1)
  if not timer then return nil, err end
  return timer.object
end

local function channel_of(t) return t.channel.object end
timer_methods.response, timer_methods.channel = channel_of, channel_of

function timer_methods.stop(t)
  if K.run.pure then S.impure("timer:stop") end
  local active = t.seq ~= false
  if active then
    cancel_timer(t.seq)
    t.seq = false
  end
  t.stopped = true
  channel.close(K.run, t.channel)
  return active
end

function timer_methods.reset(t, duration)
  local ns, err = positive(duration, "timer")
  if not ns then K.raise(err[STATE].message) end
  S.enter("timer:reset", true)
  local active = t.seq ~= false
  if t.stopped then return false end
  if active then cancel_timer(t.seq) end
  arm(t, ns)
  return active
end

local Ticker, ticker_methods = K.class("time.Ticker")

function M.ticker(duration)
  local ticker, err = timer_of(Ticker, duration, "ticker", 16)
  if not ticker then return nil, err end
  return ticker.object
end

ticker_methods.response, ticker_methods.channel = channel_of, channel_of

function ticker_methods.stop(t)
  if K.run.pure then S.impure("ticker:stop") end
  if t.seq then cancel_timer(t.seq) end
  t.seq, t.period = false, false
  channel.close(K.run, t.channel)
  return true
end

-- Values ---------------------------------------------------------------------------------------

function M.parse_duration(value)
  local ns, wrong = D.ns(value)
  if not ns then return nil, invalid(wrong) end
  return D.make(ns)
end

function M.date(year, month, day, hour, minute, second, nanos, location)
  local zone = T.zone_of(location) or T.localtz
  local days = T.days(whole(year, "year"), whole(month or 1, "month"), whole(day or 1, "day"))
  local seconds = days * 86400 + whole(hour, "hour") * 3600 + whole(minute, "minute") * 60
    + whole(second, "second")
  return T.from_local(seconds, whole(nanos, "nanosecond"), zone)
end

function M.unix(seconds, nanos)
  return T.make(whole(seconds, "seconds"), whole(nanos, "nanoseconds"), T.localtz)
end

function M.parse(layout, value, location)
  if type(layout) ~= "string" or type(value) ~= "string" then
    return nil, invalid("time.parse expects a layout and a text")
  end
  local t, wrong = K.layouts.parse(layout, value, T.zone_of(location))
  if not t then return nil, invalid(wrong) end
  return t
end

function M.fixed_zone(name, offset)
  if type(name) ~= "string" then K.raise("time.fixed_zone expects a name") end
  return T.zone(name, whole(offset, "offset")).object
end

function M.load_location(name)
  if type(name) ~= "string" or name == "" then
    return nil, invalid("time.load_location expects a name")
  end
  if name == "UTC" then return T.utc.object end
  if name == "Local" then return T.localtz.object end
  return K.zones.load(name)
end

K.modules.time = K.readonly("time", M)
