--- Time objects: an instant (seconds and nanoseconds since 1970 UTC) seen in a location.
local K = ...
local N = K.native
local setmetatable, format, raise = N.setmetatable, N.string.format, K.raise
local D, STATE = K.durations, K.STATE

local T = {}
K.calendar = T

local Location, location_methods = K.class("time.Location")
function location_methods.string(l) return l.name end
function Location.__tostring(l) return l[STATE].name end

--- The state of a zone; users see its `object`. `offset`: seconds from UTC, where it is fixed.
-- The other zones get their `data` from zones.lua.
function T.zone(name, offset, abbreviation)
  local zone = {name = name, offset = offset, abbreviation = abbreviation or name}
  zone.object = setmetatable({[STATE] = zone}, Location)
  return zone
end

T.utc = T.zone("UTC", 0)
-- Workers everywhere have the same local time: UTC.
T.localtz = T.zone("Local", 0, "UTC")

--- (offset from UTC in seconds, abbreviation) of a zone at a moment.
function T.offset_at(zone, s)
  if zone.offset then return zone.offset, zone.abbreviation end
  return K.zones.at(zone.data, s)
end

--- The Time of seconds and nanoseconds of local time. Where clocks are set forward and skip it, it
-- is moved on; where they are set back one of the two it may be is taken, the same one as in Go.
function T.from_local(seconds, nanos, zone)
  local offset = T.offset_at(zone, seconds)
  offset = T.offset_at(zone, seconds - offset)
  return T.make(seconds - offset, nanos, zone)
end

--- The zone of a Location, nil for anything else.
function T.zone_of(location)
  return K.isa(location, Location) and location[STATE] or nil
end

local Time, methods = K.class("time.Time")
T.class = Time
K.time_class = Time

local BILLION = 1000000000
-- Go's zero time, 0001-01-01 00:00:00 UTC.
local ZERO = -62135596800

--- The state of a Time; the nanoseconds may be out of range.
function T.instant(seconds, nanos, zone)
  return {s = seconds + nanos // BILLION, n = nanos % BILLION, zone = zone or T.utc}
end

--- A Time from seconds and nanoseconds.
function T.make(seconds, nanos, zone)
  return setmetatable({[STATE] = T.instant(seconds, nanos, zone)}, Time)
end

function T.from_ns(ns)
  return T.make(ns // BILLION, ns % BILLION)
end

--- Days since 1970-01-01 of a civil date; months and days may be out of range.
function T.days(year, month, day)
  month = month - 1
  year = year + month // 12
  month = month % 12 + 1
  if month <= 2 then year = year - 1 end
  local era = year // 400
  local yoe = year - era * 400
  local doy = (153 * (month + (month > 2 and -3 or 9)) + 2) // 5
  return era * 146097 + yoe * 365 + yoe // 4 - yoe // 100 + doy - 719468 + day - 1
end

--- (year, month, day) of days since 1970-01-01.
function T.civil(days)
  days = days + 719468
  local era = days // 146097
  local doe = days - era * 146097
  local yoe = (doe - doe // 1460 + doe // 36524 - doe // 146096) // 365
  local doy = doe - (365 * yoe + yoe // 4 - yoe // 100)
  local mp = (5 * doy + 2) // 153
  local month = mp + (mp < 10 and 3 or -9)
  return yoe + era * 400 + (month <= 2 and 1 or 0), month, doy - (153 * mp + 2) // 5 + 1
end

--- All parts of a Time's state in its location, as a table.
function T.parts(t)
  local offset, abbreviation = T.offset_at(t.zone, t.s)
  local seconds = t.s + offset
  local days, rest = seconds // 86400, seconds % 86400
  local year, month, day = T.civil(days)
  return {
    year = year, month = month, day = day, hour = rest // 3600, minute = rest // 60 % 60,
    second = rest % 60, nanosecond = t.n, weekday = (days + 4) % 7,
    year_day = days - T.days(year, 1, 1) + 1, days = days, offset = offset,
    abbreviation = abbreviation,
  }
end

-- The state of an argument that must be a Time.
local function time_arg(t, method)
  if not K.isa(t, Time) then raise("time: " .. method .. " expects a Time") end
  return t[STATE]
end

local function duration_arg(d, method)
  local ns, wrong = D.ns(d)
  if not ns then raise("time: " .. method .. ": " .. wrong) end
  return ns
end

-- Methods --------------------------------------------------------------------------------------

local function add(t, ns)
  return T.make(t.s + ns // BILLION, t.n + ns % BILLION, t.zone)
end

local function difference(t, other)
  return D.make((t.s - other.s) * BILLION + t.n - other.n)
end

function methods.add(t, d) return add(t, duration_arg(d, "add")) end
function methods.sub(t, other) return difference(t, time_arg(other, "sub")) end

--- An argument that is a whole number; nil counts as 0.
function T.whole(value, what)
  local n = value == nil and 0 or N.math.tointeger(value)
  if N.math.type(n) ~= "integer" then raise("time: " .. what .. " must be a whole number") end
  return n
end

function methods.add_date(t, years, months, days)
  local p = T.parts(t)
  local date = T.days(p.year + T.whole(years, "years"), p.month + T.whole(months, "months"),
    p.day + T.whole(days, "days"))
  return T.from_local(date * 86400 + (t.s + p.offset) % 86400, t.n, t.zone)
end

local function before(a, b) return a.s < b.s or a.s == b.s and a.n < b.n end
local function same(a, b) return a.s == b.s and a.n == b.n end

function methods.before(t, other) return before(t, time_arg(other, "before")) end
function methods.after(t, other) return before(time_arg(other, "after"), t) end
function methods.equal(t, other) return same(t, time_arg(other, "equal")) end
function methods.unix(t) return t.s end
function methods.unix_nano(t) return t.s * BILLION + t.n end
function methods.is_zero(t) return t.s == ZERO and t.n == 0 end
function methods.location(t) return t.zone.object end
function methods.utc(t) return T.make(t.s, t.n) end
function methods.in_local(t) return T.make(t.s, t.n, T.localtz) end

function methods.in_location(t, location)
  local zone = T.zone_of(location)
  if not zone then raise("time: in_location expects a Location") end
  return T.make(t.s, t.n, zone)
end

function methods.date(t)
  local p = T.parts(t)
  return p.year, p.month, p.day
end

function methods.clock(t)
  local p = T.parts(t)
  return p.hour, p.minute, p.second
end

for _, field in N.ipairs({
  "year", "month", "day", "hour", "minute", "second", "nanosecond", "weekday", "year_day",
}) do
  methods[field] = function(t) return T.parts(t)[field] end
end

-- Go rounds from its zero time, not from 1970.
local function multiple(t, d, method, half_up)
  local ns = D.ns(d)
  if not K.isa(d, D.class) then raise("time: " .. method .. " expects a Duration") end
  if ns <= 0 then return T.make(t.s, t.n, t.zone) end
  -- The distance from the zero time modulo ns, without leaving 64 bits.
  local since = t.s - ZERO
  local rest
  if ns % BILLION == 0 then
    rest = since % (ns // BILLION) * BILLION + t.n
  else
    local second = BILLION % ns
    rest = (T.mulmod(since % ns, second, ns) + t.n) % ns
  end
  local step = -rest
  if half_up and rest >= ns - rest then step = ns - rest end
  return add(t, step)
end

--- a * b % m for 0 <= a, b < m, without overflow.
function T.mulmod(a, b, m)
  local result = 0
  while b > 0 do
    if b & 1 == 1 then result = result >= m - a and result - (m - a) or result + a end
    a = a >= m - a and a - (m - a) or a + a
    b = b >> 1
  end
  return result
end

function methods.truncate(t, d) return multiple(t, d, "truncate", false) end
function methods.round(t, d) return multiple(t, d, "round", true) end

-- Text -----------------------------------------------------------------------------------------

local function offset_text(seconds, colon)
  local sign = "+"
  if seconds < 0 then sign, seconds = "-", -seconds end
  return format("%s%02d%s%02d", sign, seconds // 3600, colon, seconds // 60 % 60)
end
T.offset_text = offset_text

-- ".25" of nanoseconds, without trailing zeros; "" for none.
local function fraction(nanos)
  if nanos == 0 then return "" end
  return "." .. N.string.match(format("%09d", nanos), "^(.-)0*$")
end

--- RFC 3339 of a Time's state; with all the nanoseconds there are if `nano`.
function T.rfc3339(t, nano)
  local p = T.parts(t)
  local zone = p.offset == 0 and "Z" or offset_text(p.offset, ":")
  return format("%04d-%02d-%02dT%02d:%02d:%02d%s%s", p.year, p.month, p.day, p.hour, p.minute,
    p.second, nano and fraction(p.nanosecond) or "", zone)
end

function methods.format_rfc3339(t) return T.rfc3339(t) end

function Time.__tostring(time)
  local t = time[STATE]
  local p = T.parts(t)
  return format("%04d-%02d-%02d %02d:%02d:%02d%s %s %s", p.year, p.month, p.day, p.hour, p.minute,
    p.second, fraction(p.nanosecond), offset_text(p.offset, ""),
    p.abbreviation ~= "" and p.abbreviation or offset_text(p.offset, ""))
end

function Time.__eq(a, b) return K.isa(a, Time) and K.isa(b, Time) and same(a[STATE], b[STATE]) end
function Time.__lt(a, b) return before(time_arg(a, "<"), time_arg(b, "<")) end
function Time.__le(a, b) return not before(time_arg(b, "<="), time_arg(a, "<=")) end
function Time.__sub(a, b)
  if K.isa(b, Time) then return difference(time_arg(a, "-"), b[STATE]) end
  return add(time_arg(a, "-"), -duration_arg(b, "-"))
end
function Time.__add(a, b) return add(time_arg(a, "+"), duration_arg(b, "+")) end

T.methods = methods
K.plain_of[Time] = function(t) return T.rfc3339(t[STATE], true) end

--- RFC 3339 text of milliseconds since 1970.
function K.rfc3339(ms)
  local ns = ms * 1000000
  return T.rfc3339(T.instant(ns // BILLION, ns % BILLION), true)
end
