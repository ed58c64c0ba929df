--- The table library inside the budget: plain tables only, ranges bounded, a stable sort.
local K = ...
local N, S = K.native, K.stable
local charge = K.guard.charge
local type, select, rawlen, rawget, rawset = N.type, N.select, N.rawlen, N.rawget, N.rawset
local metatable, tointeger = N.debug.getmetatable, N.math.tointeger
local R = N.table
local raw_insert, raw_remove, raw_concat = R.insert, R.remove, R.concat
local raw_unpack, raw_move = R.unpack, R.move
local raise, bad_argument = S.raise, S.bad_argument

local MAX_VALUES = 20000 -- that unpack may return
local MAX_RANGE = 10000000 -- elements that concat and move may visit

local T = {}
--- The members of the users' table module.
K.tables = T

-- The C functions would call __len, __index and __newindex in loops that no hook can end.
local function plain(t, name, writes)
  if type(t) ~= "table" then bad_argument(1, name, "table", t) end
  local mt = metatable(t)
  if not mt then return end
  if S.protected(t) then
    raise("table." .. name .. ": this table belongs to luaflow and is read-only")
  end
  local method = rawget(mt, "__len") ~= nil and "__len"
    or writes and rawget(mt, "__newindex") ~= nil and "__newindex"
  if method then
    raise("table." .. name .. " works on plain tables only: this one has " .. method)
  end
end

local function integer(n, name, value, default)
  if value == nil and default then return default end
  local whole = tointeger(value)
  if not whole then bad_argument(n, name, "number", value) end
  return whole
end

local function range(name, first, last)
  -- A difference that wraps around is as wrong as one that is too large.
  local size = last - first + 1
  if last >= first and (size > MAX_RANGE or size <= 0) then
    raise("table." .. name .. ": more than " .. MAX_RANGE .. " elements at once")
  end
  if size > 0 then charge(size) end
end

function T.insert(t, ...)
  if type(t) ~= "table" or metatable(t) then plain(t, "insert", true) end
  local n = select("#", ...)
  local length = #t
  if n == 1 then
    t[length + 1] = ...
    return
  end
  if n ~= 2 then raise("wrong number of arguments to 'insert'") end
  local at, value = ...
  at = integer(2, "insert", at)
  if at < 1 or at > length + 1 then
    raise("bad argument #2 to 'insert' (position out of bounds)")
  end
  charge(length - at + 1)
  raw_insert(t, at, value)
end

function T.remove(t, at)
  plain(t, "remove", true)
  if at == nil then return raw_remove(t) end
  at = integer(2, "remove", at)
  local length = rawlen(t)
  if length + 1 ~= at and (at < 1 or at > length + 1) and not (length == 0 and at == 0) then
    raise("bad argument #2 to 'remove' (position out of bounds)")
  end
  if length > at then charge(length - at) end
  return raw_remove(t, at)
end

-- The sign of a NaN that C prints depends on the processor.
local function without_nan(t, first, last)
  local list = {}
  for i = first, last do list[i - first + 1] = S.tostring(rawget(t, i)) end
  return list
end

function T.concat(t, separator, first, last)
  plain(t, "concat")
  local kind = type(separator)
  if kind ~= "string" and kind ~= "number" and separator ~= nil then
    bad_argument(2, "concat", "string", separator)
  end
  first, last = integer(3, "concat", first, 1), integer(4, "concat", last, rawlen(t))
  range("concat", first, last)
  for i = first, last do
    local v = rawget(t, i)
    local of = type(v)
    if of ~= "string" and of ~= "number" then
      raise("invalid value (at index " .. i .. ") in table for 'concat'")
    end
    if v ~= v then return raw_concat(without_nan(t, first, last), separator or "") end
  end
  return raw_concat(t, separator or "", first, last)
end

function T.unpack(t, first, last)
  if type(t) ~= "table" then bad_argument(1, "unpack", "table", t) end
  plain(t, "unpack")
  first, last = integer(2, "unpack", first, 1), integer(3, "unpack", last, rawlen(t))
  local size = last - first + 1
  if last >= first and (size > MAX_VALUES or size <= 0) then
    raise("too many results to unpack (more than " .. MAX_VALUES .. ")")
  end
  return raw_unpack(t, first, last)
end

--- An empty table. How much room is asked for changes nothing: Lua makes it when it is needed.
function T.create(list, keys)
  integer(1, "create", list, 0)
  integer(2, "create", keys, 0)
  return {}
end

function T.pack(...)
  return {n = select("#", ...), ...}
end

function T.move(from, first, last, to_index, to)
  plain(from, "move")
  if to == nil then to = from end
  if type(to) ~= "table" then bad_argument(5, "move", "table", to) end
  plain(to, "move", true)
  first, last = integer(2, "move", first), integer(3, "move", last)
  to_index = integer(4, "move", to_index)
  range("move", first, last)
  return raw_move(from, first, last, to_index, to)
end

local function natural(a, b)
  return a < b
end

--- table.sort: stable, on a copy that is written back at the end.
function T.sort(t, before)
  plain(t, "sort", true)
  if before ~= nil and type(before) ~= "function" then
    bad_argument(2, "sort", "function", before)
  end
  local n = rawlen(t)
  if n < 2 then return end
  local bytes = not before and S.indistinct(t, n)
  if bytes then return S.sort_keys(t, n, bytes) end
  local list = {}
  for i = 1, n do list[i] = rawget(t, i) end
  S.sort(list, n, before or natural)
  for i = 1, n do rawset(t, i, list[i]) end
end
