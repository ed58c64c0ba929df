--- The string library inside the budget: long work is bounded, charged, or done in Lua.
local K = ...
local N, S, P = K.native, K.stable, K.patterns
local charge, check = K.guard.charge, K.guard.check
local type, select, tointeger = N.type, N.select, N.math.tointeger
local R = N.string
local sub, raw_find, raw_match, raw_gmatch = R.sub, R.find, R.match, R.gmatch
local raw_gsub, raw_rep, raw_format, raw_byte = R.gsub, R.rep, R.format, R.byte
local concat, unpack, pcall = N.table.concat, N.table.unpack, N.pcall
local tostring, raise, bad_argument = S.tostring, S.raise, S.bad_argument
local compile, cost_of, match = P.compile, P.cost, P.match

local MAX_STEPS = 5e6 -- of one call of the C matcher: about 10 ms
local MAX_SEARCH = 1e9 -- text bytes times searched bytes of a plain find
local MAX_RESULT = 16 * 1024 * 1024 -- bytes that one call of rep may make
local LONG_RESULT = 1024 * 1024 -- bytes from which the next instructions are watched closely
local MAX_BYTES = 20000 -- values that string.byte may return
local LONG = 4096 -- bytes from which a linear function looks at the clock
local SPECIALS = "[%^$*+?.([%%-]"
-- a conversion %p with flags and width; one loop, since three over the same zeros take cubic time
local ADDRESS = "%%[-+ #0-9.]*p"

local L = {}
--- The members of the users' string module.
K.strings = L

local function text(n, name, value)
  local kind = type(value)
  if kind == "string" then return value end
  if kind == "number" then return tostring(value) end
  bad_argument(n, name, "string", value)
end

local function integer(n, name, value, default)
  if value == nil then return default end
  local whole = tointeger(value)
  if not whole then
    if type(value) == "number" then
      raise("bad argument #" .. n .. " to '" .. name .. "' (number has no integer representation)")
    end
    bad_argument(n, name, "number", value)
  end
  return whole
end

-- The start position that `init` means in a text of `length` bytes.
local function start(length, init)
  if init > 0 then return init end
  if init == 0 or init < -length then return 1 end
  return length + init + 1
end

-- Plain functions ------------------------------------------------------------------------------

L.char, L.len, L.sub = R.char, R.len, R.sub

local function linear(name)
  local raw = R[name]
  L[name] = function(s)
    if type(s) ~= "string" then s = text(1, name, s) end
    if #s > LONG then check() end
    return raw(s)
  end
end
linear("upper")
linear("lower")
linear("reverse")

function L.byte(s, i, j)
  s = text(1, "byte", s)
  i = integer(2, "byte", i, 1)
  if j == nil then return raw_byte(s, i) end
  j = integer(3, "byte", j)
  local first, last = start(#s, i), j < 0 and #s + j + 1 or j
  if last > #s then last = #s end
  if last - first >= MAX_BYTES then
    raise("string.byte: more than " .. MAX_BYTES .. " bytes at once: take smaller parts")
  end
  return raw_byte(s, i, j)
end

function L.rep(s, n, separator)
  s = text(1, "rep", s)
  if n == nil then bad_argument(2, "rep", "number", n) end
  n = integer(2, "rep", n)
  separator = separator ~= nil and text(3, "rep", separator) or ""
  local unit = #s + #separator
  if n <= 0 or unit == 0 then return "" end
  if n > MAX_RESULT or unit * n - #separator > MAX_RESULT then
    raise("string.rep: the result would be longer than " .. MAX_RESULT .. " bytes")
  end
  charge(unit * n >> 4)
  if unit * n > LONG_RESULT then K.guard.closely() end
  return raw_rep(s, n, separator)
end

-- Patterns -------------------------------------------------------------------------------------

-- True when the C matcher ends soon; charges for it.
local function soon(compiled, length)
  local cost = cost_of(compiled, length)
  if cost > MAX_STEPS then return false end
  charge(cost // 16 | 0)
  return true
end

local function captures_or(s, i, j, captures)
  if captures[1] == nil then return sub(s, i, j) end
  return unpack(captures)
end

local function found(i, j, captures)
  if i then return i, j, unpack(captures) end
end

local function plain_find(s, p, init)
  local cost = #s * #p
  if cost > MAX_SEARCH then
    raise("string.find: looking for " .. #p .. " bytes in " .. #s .. " bytes takes too long")
  end
  charge(cost >> 10)
  return raw_find(s, p, init, true)
end

function L.find(s, p, init, plain)
  if type(s) ~= "string" then s = text(1, "find", s) end
  if type(p) ~= "string" then p = text(2, "find", p) end
  init = init == nil and 1 or start(#s, integer(3, "find", init))
  if init > #s + 1 then return nil end
  if plain or not raw_find(p, SPECIALS) then return plain_find(s, p, init) end
  local compiled = compile(p, true)
  if soon(compiled, #s - init + 1) then return raw_find(s, p, init) end
  return found(match(compiled, s, init))
end

function L.match(s, p, init)
  if type(s) ~= "string" then s = text(1, "match", s) end
  if type(p) ~= "string" then p = text(2, "match", p) end
  init = init == nil and 1 or start(#s, integer(3, "match", init))
  if init > #s + 1 then return nil end
  local compiled = compile(p, true)
  if soon(compiled, #s - init + 1) then return raw_match(s, p, init) end
  local i, j, captures = match(compiled, s, init)
  if i then return captures_or(s, i, j, captures) end
end

function L.gmatch(s, p, init)
  s, p = text(1, "gmatch", s), text(2, "gmatch", p)
  local at, last = start(#s, integer(3, "gmatch", init, 1)), nil
  if at > #s + 1 then at = #s + 1 end
  local compiled = compile(p, false)
  if soon(compiled, #s - at + 1) then
    local following = raw_gmatch(s, p, at)
    if #s <= LONG then return following end
    -- Each call may look at all of the rest.
    return function()
      K.guard.check()
      return following()
    end
  end
  return function()
    local i, j, captures = match(compiled, s, at, last)
    if not i then
      at = #s + 2
      return nil
    end
    at, last = j + 1, j + 1
    return captures_or(s, i, j, captures)
  end
end

local function expand(replacement, whole, captures)
  return (raw_gsub(replacement, "%%(.)", function(c)
    if c == "%" then return "%" end
    local index = raw_byte(c) - 48
    if index == 0 or index == 1 and captures[1] == nil then return whole end
    local value = captures[index]
    if value == nil then raise("invalid capture index %" .. index .. " in replacement string") end
    return tostring(value)
  end))
end

local function replaced(replacement, kind, whole, captures)
  if kind == "string" then return expand(replacement, whole, captures) end
  local key = captures[1]
  if key == nil then key = whole end
  local value
  if kind == "table" then
    value = replacement[key]
  elseif captures[1] == nil then
    value = replacement(whole)
  else
    value = replacement(unpack(captures))
  end
  if not value then return whole end
  if type(value) == "string" then return value end
  if type(value) == "number" then return tostring(value) end
  raise("invalid replacement value (a " .. type(value) .. ")")
end

local function long_gsub(compiled, s, replacement, kind, limit)
  local out, at, last, n = {}, 1, nil, 0
  while n < limit do
    local i, j, captures = match(compiled, s, at, last)
    if not i then break end
    n = n + 1
    out[#out + 1] = sub(s, at, i - 1)
    out[#out + 1] = replaced(replacement, kind, sub(s, i, j), captures)
    at, last = j + 1, j + 1
    if compiled.anchored then break end
  end
  out[#out + 1] = sub(s, at)
  return concat(out), n
end

function L.gsub(s, p, replacement, limit)
  s, p = text(1, "gsub", s), text(2, "gsub", p)
  local kind = type(replacement)
  if kind == "number" then
    replacement, kind = tostring(replacement), "string"
  elseif kind ~= "string" and kind ~= "table" and kind ~= "function" then
    bad_argument(3, "gsub", "string/function/table", replacement)
  end
  limit = integer(4, "gsub", limit, #s + 1)
  if kind == "string" then charge(#replacement) end
  if kind == "string" and raw_find(replacement, "%", 1, true)
    and raw_find(raw_gsub(replacement, "%%[%d%%]", ""), "%", 1, true) then
    raise("invalid use of '%' in replacement string")
  end
  local compiled = compile(p, true)
  if soon(compiled, #s) then return raw_gsub(s, p, replacement, limit) end
  return long_gsub(compiled, s, replacement, kind, limit)
end

-- format ---------------------------------------------------------------------------------------

local NAN = 0 / 0
if N.tostring(NAN) == "-nan" then NAN = -NAN end -- the sign of 0/0 depends on the processor

local function formatted(ok, result)
  if ok then return result end
  if result == "not enough memory" then N.error(result, 0) end
  raise((raw_gsub(result, "to '%?'", "to 'format'")))
end

-- One %p or %s argument as text, everything else as the C function takes it.
local function argument(conversion, value)
  local kind = type(value)
  if conversion == "p" then
    if kind == "table" or kind == "function" or kind == "thread" then
      return tostring(S.serial(value))
    end
    return "(null)"
  end
  if conversion == "s" and kind ~= "string" then return tostring(value) end
  if value ~= value and kind == "number" then return NAN end
  return value
end

local function careful_format(template, n, ...)
  local args, at, i = {...}, 0, 1
  while true do
    local from, to, conversion = raw_find(template, "^[^%%]*%%[-+ #0-9.]*(.)", i)
    if not from then break end
    if conversion ~= "%" then
      at = at + 1
      if at <= n then args[at] = argument(conversion, args[at]) end
      if conversion == "p" then
        template = sub(template, 1, to - 1) .. "s" .. sub(template, to + 1)
      end
    end
    i = to + 1
  end
  return formatted(pcall(raw_format, template, unpack(args, 1, n)))
end

local function simple(value)
  local kind = type(value)
  return kind == "string" or kind == "number" and value == value
end

--- string.format without addresses: %p gives the serial number of the object.
function L.format(template, ...)
  template = text(1, "format", template)
  if #template > LONG then check() end
  local n = select("#", ...)
  local plain = n <= 3 and not raw_find(template, ADDRESS)
  if plain and n > 0 then
    local a, b, c = ...
    plain = simple(a) and (n < 2 or simple(b)) and (n < 3 or simple(c))
  end
  if plain then return formatted(pcall(raw_format, template, ...)) end
  return careful_format(template, n, ...)
end
