--- The math library, with a random generator of its own in each run.
local K = ...
local N, S = K.native, K.stable
local type, error, select, rawequal = N.type, N.error, N.select, N.rawequal
local byte, ult, tointeger = N.string.byte, N.math.ult, N.math.tointeger
local raise, bad_argument = S.raise, S.bad_argument

-- Random numbers: xoshiro256**, the same on every machine --------------------------------------

local Random = {}
K.random = Random

-- splitmix64: spreads one integer over the four of a state.
local function spread(x)
  local state = {}
  for i = 1, 4 do
    x = x + 0x9E3779B97F4A7C15
    local z = x
    z = (z ~ z >> 30) * 0xBF58476D1CE4E5B9
    z = (z ~ z >> 27) * 0x94D049BB133111EB
    state[i] = z ~ z >> 31
  end
  return state
end

-- FNV-1a.
local function hash(seed)
  local h = 0xCBF29CE484222325
  for i = 1, #seed do h = (h ~ byte(seed, i)) * 0x100000001B3 end
  return h
end

--- A generator for a run; the same text gives the same numbers. Most runs never draw one.
function Random.new(seed)
  return {seed = seed}
end

local function restart(state, seed)
  local fresh = spread(hash(seed))
  for i = 1, 4 do state[i] = fresh[i] end
end

local current -- generator of the active run

--- Make `state` (nil: none) the generator that math.random draws from.
function Random.use(state)
  current = state
end

local function draw()
  local s = current
  if not s then error("no run is active: pass its environment to K.guard.begin", 0) end
  if not s[1] then restart(s, s.seed) end
  local s1 = s[2]
  local m = s1 * 5
  local result = (m << 7 | m >> 57) * 9
  local s2, s3 = s[3] ~ s[1], s[4] ~ s1
  s[2], s[1] = s1 ~ s2, s[1] ~ s3
  s[3] = s2 ~ s1 << 17
  s[4] = s3 << 45 | s3 >> 19
  return result
end

-- An integer of 0..limit (unsigned), each as likely.
local function project(value, limit)
  if limit & limit + 1 == 0 then return value & limit end
  local mask = limit
  for _, shift in N.ipairs {1, 2, 4, 8, 16, 32} do mask = mask | mask >> shift end
  value = value & mask
  while ult(limit, value) do value = draw() & mask end
  return value
end

local function whole(n, name, value)
  local result = tointeger(value)
  if result then return result end
  if type(value) == "number" then
    raise("bad argument #" .. n .. " to '" .. name .. "' (number has no integer representation)")
  end
  bad_argument(n, name, "number", value)
end

local M = {}
--- The members of the users' math module.
K.maths = M

for _, name in N.ipairs {
  "abs", "acos", "asin", "atan", "ceil", "cos", "deg", "exp", "floor", "fmod", "huge", "log", "max",
  "maxinteger", "min", "mininteger", "modf", "pi", "rad", "sin", "sqrt", "tan", "tointeger",
  "type", "ult",
} do
  M[name] = N.math[name]
end

--- math.random as in Lua 5.4, from the generator of the run.
function M.random(...)
  local n = select("#", ...)
  local value = draw()
  if n == 0 then return (value >> 11) * 0x1p-53 end
  local low, high = ...
  if n == 1 then
    low, high = 1, whole(1, "random", low)
    if rawequal(high, 0) then return value end
  elseif n == 2 then
    low, high = whole(1, "random", low), whole(2, "random", high)
  else
    raise("wrong number of arguments")
  end
  if low > high then raise("bad argument #" .. n .. " to 'random' (interval is empty)") end
  return low + project(value, high - low)
end

--- math.randomseed: the same arguments give the same numbers; none starts the run's own again.
function M.randomseed(...)
  draw()
  local parts = {}
  for i = 1, select("#", ...) do parts[i] = S.tostring((select(i, ...))) end
  restart(current, parts[1] and N.table.concat(parts, ",") or current.seed)
end

-- Lua 5.1's extras -----------------------------------------------------------------------------

local exp, log, atan = N.math.exp, N.math.log, N.math.atan

local function number(name, x, n)
  local value = N.tonumber(x)
  if not value then bad_argument(n or 1, name, "number", x) end
  return value + 0.0
end

function M.pow(x, y) return number("pow", x) ^ number("pow", y, 2) end
function M.log10(x) return log(number("log10", x), 10) end
function M.atan2(y, x) return atan(number("atan2", y), number("atan2", x, 2)) end

--- (m, e) with x = m * 2^e and m from 0.5 to 1, read off the bits of x.
function M.frexp(x)
  x = number("frexp", x)
  if x == 0 or x ~= x or x - x ~= 0 then return x, 0 end
  local shift = 0
  -- The least numbers have no exponent of their own.
  if x > -0x1p-1022 and x < 0x1p-1022 then x, shift = x * 0x1p54, 54 end
  local bits = N.string.unpack("<i8", N.string.pack("<d", x))
  local exponent = (bits >> 52 & 0x7FF) - 1022
  bits = bits & ~(0x7FF << 52) | 1022 << 52
  return (N.string.unpack("<d", N.string.pack("<i8", bits))), exponent - shift
end

--- m * 2^e, in steps that each stay in range.
function M.ldexp(m, e)
  m = number("ldexp", m)
  local exponent = tointeger(e)
  if not exponent then bad_argument(2, "ldexp", "number", e) end
  exponent = exponent > 2200 and 2200 or exponent < -2200 and -2200 or exponent
  while exponent > 1000 do m, exponent = m * 0x1p1000, exponent - 1000 end
  -- Only the last step may reach the numbers that round: the others keep all digits.
  while exponent < -1000 and (m >= 0x1p-20 or m <= -0x1p-20) do
    m, exponent = m * 0x1p-1000, exponent + 1000
  end
  if exponent < -1022 then return m * 0x1p-1022 * 2.0 ^ (exponent + 1022) end
  return m * 2.0 ^ exponent
end

function M.sinh(x)
  x = number("sinh", x)
  -- Near 0 the difference of two exponentials keeps no digits: the series does.
  if x > -0.5 and x < 0.5 then
    local square, term, sum = x * x, x, x
    for k = 2, 16, 2 do
      term = term * square / (k * (k + 1))
      sum = sum + term
    end
    return sum
  end
  return (exp(x) - exp(-x)) / 2
end

function M.cosh(x)
  x = number("cosh", x)
  return (exp(x) + exp(-x)) / 2
end

function M.tanh(x)
  x = number("tanh", x)
  if x > 20 then return 1.0 end
  if x < -20 then return -1.0 end
  return M.sinh(x) / M.cosh(x)
end
