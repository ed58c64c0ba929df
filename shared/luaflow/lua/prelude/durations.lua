--- Durations: nanoseconds as integers, Go's text form, and the Duration object.
local K = ...
local N = K.native
local type, tonumber, setmetatable = N.type, N.tonumber, N.setmetatable
local match, format, find, rep, sub = N.string.match, N.string.format, N.string.find, N.string.rep,
  N.string.sub
local math_type, tointeger, floor = N.math.type, N.math.tointeger, N.math.floor

local D = {}
K.durations = D

local UNITS = {
  ns = 1, us = 1000, ["\u{b5}s"] = 1000, ["\u{3bc}s"] = 1000, ms = 1000000,
  s = 1000000000, m = 60000000000, h = 3600000000000,
}
local HOW = 'write a number with a unit, such as "90s", "1h30m" or "250ms"'

-- The state of a Duration is its nanoseconds.
local Duration, methods = K.class("time.Duration")
local STATE = K.STATE
D.class = Duration

function D.make(ns)
  return setmetatable({[STATE] = ns}, Duration)
end

local function bad(text)
  return nil, format('invalid duration "%s": %s', sub(text, 1, 60), HOW)
end

-- Nanoseconds of digits in a unit, in integers only: a float would lose some beyond 2^53.
local function part_ns(whole, fraction, scale)
  local base = tointeger(tonumber(whole == "" and "0" or whole))
  if not base or scale > 0 and base > N.math.maxinteger // scale then return nil end
  local ns = base * scale
  if fraction ~= "" then
    fraction = sub(fraction .. rep("0", 13), 1, 13)
    -- 13 digits of a unit of at most 3.6e12 ns, in two halves that cannot overflow.
    local high, low = tonumber(sub(fraction, 1, 6)), tonumber(sub(fraction, 7))
    ns = ns + (high * scale + low * scale // 10000000) // 1000000
  end
  return ns
end

--- Nanoseconds of a Go duration text, or nil and a message.
function D.parse(text)
  local sign, rest = match(text, "^([+-]?)(.*)$")
  if rest == "0" then return 0 end
  if rest == "" then return bad(text) end
  local total, at = 0, 1
  while at <= #rest do
    local whole, dot, fraction, unit, after = match(rest, "^(%d*)(%.?)(%d*)([^%d.%s]+)()", at)
    local scale = unit and UNITS[unit]
    if not scale or whole == "" and fraction == "" or dot == "" and fraction ~= "" then
      return bad(text)
    end
    local ns = part_ns(whole, fraction, scale)
    if not ns or total + ns < 0 then return bad(text) end
    total, at = total + ns, after
  end
  return sign == "-" and -total or total
end

local function decimal(value, scale, digits)
  local whole, rest = value // scale, value % scale
  if rest == 0 then return format("%d", whole) end
  local text = format("%0" .. digits .. "d", rest)
  return format("%d.%s", whole, match(text, "^(.-)0*$"))
end

--- The text Go prints: "1h30m0s", "1.5s", "250ms", "0s".
function D.format(ns)
  if ns == 0 then return "0s" end
  if ns < 0 then
    if ns == N.math.mininteger then return "-2562047h47m16.854775808s" end
    return "-" .. D.format(-ns)
  end
  if ns < 1000 then return format("%dns", ns) end
  if ns < 1000000 then return decimal(ns, 1000, 3) .. "\u{b5}s" end
  if ns < 1000000000 then return decimal(ns, 1000000, 6) .. "ms" end
  local minutes, below = ns // 60000000000, ns % 60000000000
  local text = decimal(below, 1000000000, 9) .. "s"
  if minutes == 0 then return text end
  local hours = minutes // 60
  text = format("%dm%s", minutes % 60, text)
  if hours == 0 then return text end
  return format("%dh%s", hours, text)
end

--- Nanoseconds of what users may pass: a number (ns), a Go text, a Duration; or nil, message.
function D.ns(value)
  local kind = type(value)
  if kind == "string" then return D.parse(value) end
  if kind == "number" then
    if math_type(value) == "integer" then return value end
    local whole = value == value and tointeger(floor(value))
    if whole then return whole end
    return nil, "invalid duration: the number does not fit 64 bits of nanoseconds"
  end
  if K.isa(value, Duration) then return value[STATE] end
  return nil, "invalid duration: expected a number of nanoseconds, a text such as \"1h30m\""
    .. " or a Duration, got " .. kind
end

function methods.nanoseconds(ns) return ns end
function methods.microseconds(ns) return D.trunc(ns, 1000) end
function methods.milliseconds(ns) return D.trunc(ns, 1000000) end
function methods.seconds(ns) return ns / 1e9 end
function methods.minutes(ns) return ns / 6e10 end
function methods.hours(ns) return ns / 3.6e12 end

--- Integer division towards zero, as Go divides.
function D.trunc(a, b)
  if a < 0 then return -(-a // b) end
  return a // b
end

-- An operand of an operator.
local function operand(value)
  local ns, wrong = D.ns(value)
  if not ns then K.raise(wrong) end
  return ns
end

function Duration.__tostring(d) return D.format(d[STATE]) end
function Duration.__eq(a, b) return K.isa(a, Duration) and K.isa(b, Duration) and a[STATE] == b[STATE] end
function Duration.__lt(a, b) return operand(a) < operand(b) end
function Duration.__le(a, b) return operand(a) <= operand(b) end
function Duration.__add(a, b) return D.make(operand(a) + operand(b)) end
function Duration.__sub(a, b) return D.make(operand(a) - operand(b)) end
function Duration.__unm(a) return D.make(-a[STATE]) end
