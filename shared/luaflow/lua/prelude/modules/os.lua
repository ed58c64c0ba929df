--- The `os` module: workflow time in the shape of Lua's own functions.
local K = ...
local N = K.native
local T, L = K.calendar, K.layouts
local type, format, gsub, sub = N.type, N.string.format, N.string.gsub, N.string.sub
local tointeger = N.math.tointeger

local O = K.libs.tables.os

local function field(t, name, default)
  local value = t[name]
  if value == nil then return default end
  local whole = tointeger(value)
  if not whole then K.raise("field '" .. name .. "' is not an integer") end
  return whole
end

--- The seconds of now, or of a table: its date is today where it says nothing, its time midnight.
function O.time(t)
  local now = K.now_ns() // 1000000000
  if t == nil then return now end
  if type(t) ~= "table" then K.raise("os.time expects a table") end
  local p = T.parts(T.instant(now, 0))
  local days = T.days(field(t, "year", p.year), field(t, "month", p.month), field(t, "day", p.day))
  return days * 86400 + field(t, "hour", 0) * 3600 + field(t, "min", 0) * 60 + field(t, "sec", 0)
end

function O.clock()
  return (K.now_ns() - K.run.started_ns) / 1e9
end

-- (ISO year, ISO week) of a date.
local function iso_week(p)
  local weekday = (p.weekday + 6) % 7 -- Monday is 0
  local year = T.civil(p.days - weekday + 3)
  return year, (p.days - weekday + 3 - T.days(year, 1, 1)) // 7 + 1
end

local EXPAND = {
  c = "%a %b %e %H:%M:%S %Y", D = "%m/%d/%y", F = "%Y-%m-%d", r = "%I:%M:%S %p", R = "%H:%M",
  T = "%H:%M:%S", x = "%m/%d/%y", X = "%H:%M:%S", h = "%b",
}

local WRITE = {
  a = function(p) return sub(L.days[p.weekday], 1, 3) end,
  A = function(p) return L.days[p.weekday] end,
  b = function(p) return sub(L.months[p.month], 1, 3) end,
  B = function(p) return L.months[p.month] end,
  C = function(p) return format("%02d", p.year // 100) end,
  d = function(p) return format("%02d", p.day) end,
  e = function(p) return format("%2d", p.day) end,
  g = function(p) return format("%02d", iso_week(p) % 100) end,
  G = function(p) return format("%04d", (iso_week(p))) end,
  H = function(p) return format("%02d", p.hour) end,
  I = function(p) return format("%02d", (p.hour + 11) % 12 + 1) end,
  j = function(p) return format("%03d", p.year_day) end,
  m = function(p) return format("%02d", p.month) end,
  M = function(p) return format("%02d", p.minute) end,
  n = function() return "\n" end,
  p = function(p) return p.hour >= 12 and "PM" or "AM" end,
  s = function(p) return format("%d", p.days * 86400 + p.hour * 3600 + p.minute * 60 + p.second) end,
  S = function(p) return format("%02d", p.second) end,
  t = function() return "\t" end,
  u = function(p) return format("%d", p.weekday == 0 and 7 or p.weekday) end,
  w = function(p) return format("%d", p.weekday) end,
  y = function(p) return format("%02d", p.year % 100) end,
  Y = function(p) return format("%d", p.year) end,
  z = function() return "+0000" end,
  Z = function() return "UTC" end,
  ["%"] = function() return "%" end,
}
local function week(p)
  local _, number = iso_week(p)
  return format("%02d", number)
end
WRITE.U, WRITE.V, WRITE.W = week, week, week

function O.date(layout, seconds)
  layout = layout == nil and "%c" or layout
  if type(layout) ~= "string" then K.raise("os.date expects a format") end
  local at = seconds == nil and K.now_ns() // 1000000000 or tointeger(seconds)
  if not at then K.raise("os.date: the time has no integer representation") end
  if sub(layout, 1, 1) == "!" then layout = sub(layout, 2) end
  local p = T.parts(T.instant(at, 0))
  if sub(layout, 1, 2) == "*t" then
    return {
      year = p.year, month = p.month, day = p.day, hour = p.hour, min = p.minute, sec = p.second,
      wday = p.weekday + 1, yday = p.year_day, isdst = false,
    }
  end
  layout = gsub(layout, "%%([cDFrRTxXh])", EXPAND)
  return (gsub(layout, "%%(.?)", function(letter)
    local write = WRITE[letter]
    if not write then K.raise("os.date: invalid conversion '%" .. letter .. "'") end
    return write(p)
  end))
end

K.modules.os = K.libs.modules.os
