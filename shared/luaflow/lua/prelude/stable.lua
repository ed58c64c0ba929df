--- What must be the same in every run on every machine: text of objects, order of keys, sorting.
local K = ...
local N = K.native
local charge = K.guard.charge
local type, error, raw_next, rawget, rawequal = N.type, N.error, N.next, N.rawget, N.rawequal
local raw_tostring, setmetatable = N.tostring, N.setmetatable
local metatable, getinfo = N.debug.getmetatable, N.debug.getinfo
local format, byte = N.string.format, N.string.byte
local raw_sort, math_type = N.table.sort, N.math.type

local S = {}
K.stable = S

local WEAK_KEYS = {__mode = "k"}
-- The C sort takes no hook: beyond this many elements, or for long strings, our own takes over.
local MAX_RAW_SORT, SHORT, FEW_BYTES = 20000, 64, 65536

-- Errors ---------------------------------------------------------------------------------------

--- Raise a message with the nearest position in user code (chunks named "@file").
function S.raise(message)
  local level = 2
  local info = getinfo(level, "Sl")
  while info do
    if byte(info.source, 1) == 64 then
      error(format("%s:%d: %s", info.short_src, info.currentline, message), 0)
    end
    level = level + 1
    info = getinfo(level, "Sl")
  end
  error(message, 0)
end
local raise = S.raise

--- Raise Lua's own words for a wrong argument.
function S.bad_argument(n, name, expected, got)
  local kind = got == nil and "no value" or type(got)
  raise(format("bad argument #%d to '%s' (%s expected, got %s)", n, name, expected, kind))
end

-- luaflow's objects and modules carry `__metatable = false`; so may tables of users, noted here.
local open_metatables = setmetatable({}, WEAK_KEYS)
S.open_metatables = open_metatables

--- The metatable of `t` if `t` belongs to luaflow and users may not look inside, else nil.
function S.protected(t)
  local mt = metatable(t)
  if mt and rawget(mt, "__metatable") == false and not open_metatables[mt] then return mt end
end
local protected = S.protected

-- What a user sees of a protected table: the members of a module.
local function visible(t, name)
  local mt = protected(t)
  if not mt then return t end
  local members = rawget(mt, "__index")
  if type(members) == "table" and raw_next(t) == nil then return members end
  raise(format("bad argument #1 to '%s' (table expected, got luaflow %s)", name,
    rawget(mt, "__name") or "object"))
end
S.visible = visible

-- Serial numbers -------------------------------------------------------------------------------

local state -- of the run that is active

--- The serial numbers of one run: a fresh state for `use`.
function S.new_state()
  return {last = 0, serials = false}
end

--- Make `new` (nil: none) the state of the active run.
function S.use(new)
  state = new
end

-- The numbers of the active run: of luaflow's own objects they stand there negated.
local function numbers()
  if not state then error("no run is active: pass its environment to K.guard.begin", 0) end
  local serials = state.serials
  if not serials then
    serials = setmetatable({}, WEAK_KEYS)
    state.serials = serials
  end
  return serials
end

local function count()
  local n = state.last + 1
  state.last = n
  return n
end

--- The number of an object in this run: 1 for the first one asked for, and so on.
function S.serial(object)
  local serials = numbers()
  local n = serials[object]
  if n then return n < 0 and -n or n end
  n = count()
  serials[object] = n
  return n
end
local serial = S.serial

--- Number an object of luaflow (a channel, a timer…) when it is made: then it can be a table key
-- beside others, in the order of making. Returns the object.
function S.own(object)
  local serials = state and state.serials or numbers()
  local n = serials[object]
  if not n or n > 0 then serials[object] = -(n or count()) end
  return object
end

local function is_own(object)
  local n = state and state.serials and state.serials[object]
  return n and n < 0
end

local function text_of(value, kind)
  local mt = metatable(value)
  local name = kind
  if mt then
    local method = rawget(mt, "__tostring")
    if method then
      local text = method(value)
      if type(text) == "number" then return S.tostring(text) end
      if type(text) ~= "string" then raise("'__tostring' must return a string") end
      return text
    end
    local own_name = rawget(mt, "__name")
    if type(own_name) == "string" then name = own_name end
  end
  return name .. ": " .. serial(value)
end

--- tostring without addresses: "table: 1", numbered in each run; every NaN is "nan".
function S.tostring(value)
  local kind = type(value)
  if kind == "string" then return value end
  if kind == "number" then
    if value ~= value then return "nan" end
    return raw_tostring(value)
  end
  if kind == "nil" or kind == "boolean" then return raw_tostring(value) end
  return text_of(value, kind)
end

-- Sorting --------------------------------------------------------------------------------------

--- Compare strings by bytes. Begin refuses a locale where `<` would do anything else.
function S.less(a, b)
  return a < b
end
local less = S.less

local function insertion(t, first, last, before)
  for i = first + 1, last do
    local v = t[i]
    local j = i - 1
    while j >= first and before(v, t[j]) do
      t[j + 1] = t[j]
      j = j - 1
    end
    t[j + 1] = v
  end
end

local function merge(from, to, first, middle, last, before)
  local i, j = first, middle
  for k = first, last - 1 do
    if i < middle and (j >= last or not before(from[j], from[i])) then
      to[k], i = from[i], i + 1
    else
      to[k], j = from[j], j + 1
    end
  end
end

--- Sort the plain list t[1..n] in place: stable, the same on every machine, ended by the budget.
-- `weight`: about how many instructions one comparison is worth.
function S.sort(t, n, before, weight)
  before, weight = before or less, weight or 1
  local run = 8
  for first = 1, n, run do
    charge(weight * run)
    insertion(t, first, first + run - 1 < n and first + run - 1 or n, before)
  end
  local from, to = t, {}
  while run < n do
    for first = 1, n, run * 2 do
      local middle, last = first + run, first + run * 2
      if middle > n + 1 then middle = n + 1 end
      if last > n + 1 then last = n + 1 end
      charge(weight * (last - first))
      merge(from, to, first, middle, last, before)
    end
    from, to, run = to, from, run * 2
  end
  if from ~= t then
    for i = 1, n do t[i] = from[i] end
  end
end

--- Sort a list of different keys, or of strings or integers: equal ones cannot be told apart.
-- `bytes`: how long all strings among them are together.
function S.sort_keys(list, n, bytes)
  charge(n)
  if n <= MAX_RAW_SORT and (bytes <= FEW_BYTES or bytes <= SHORT * n) then return raw_sort(list) end
  -- Comparing strings of zeros takes C an instruction's time for every byte.
  S.sort(list, n, less, 1 + bytes // n)
end

--- When every one of t[1..n] is a string, or every one an integer: how many bytes the strings have.
function S.indistinct(t, n)
  local first, bytes = rawget(t, 1), 0
  local strings = type(first) == "string"
  if not strings and math_type(first) ~= "integer" then return nil end
  for i = 1, n do
    local v = rawget(t, i)
    if strings then
      if type(v) ~= "string" then return nil end
      bytes = bytes + #v
    elseif math_type(v) ~= "integer" then
      return nil
    end
  end
  return bytes
end

-- Order of keys --------------------------------------------------------------------------------

local function no_order(name)
  raise(name .. ": the table has two or more tables, functions or coroutines as keys, which " ..
    "have no order that is the same on every machine: use text or numbers as keys, or keep a list")
end

local function by_serial(a, b)
  return state.serials[a] > state.serials[b]
end

-- Numbers outside 1..n, then false and true, then objects: what `others` holds, around `strings`.
local function arrange(n, strings, others, name)
  local keys, m, objects, rest = {}, 0, {}, nil
  local has_false, has_true
  for i = 1, #others do
    local key = others[i]
    local kind = type(key)
    if kind == "number" then
      if key < 1 or key > n or math_type(key) == "float" then
        m = m + 1
        keys[m] = key
      end
    elseif key == false then
      has_false = true
    elseif key == true then
      has_true = true
    elseif is_own(key) then
      objects[#objects + 1] = key
    elseif rest ~= nil then
      no_order(name)
    else
      rest = key
    end
  end
  S.sort_keys(keys, m, 0)
  for i = 1, #strings do keys[m + i] = strings[i] end
  if has_false then keys[#keys + 1] = false end
  if has_true then keys[#keys + 1] = true end
  S.sort(objects, #objects, by_serial)
  for i = 1, #objects do keys[#keys + 1] = objects[i] end
  keys[#keys + 1] = rest
  return keys
end

--- The keys of a table in their order: n for the sequence 1..n, then a list of the others or nil.
function S.order(t, name)
  local n, m, bytes, strings, others = 0, 0, 0, nil, nil
  for key in raw_next, t do
    if key == n + 1 then
      n = n + 1
    elseif type(key) == "string" then
      if m == 0 then strings = {} end
      m, bytes = m + 1, bytes + #key
      strings[m] = key
    elseif others then
      others[#others + 1] = key
    else
      others = {key}
    end
  end
  if m == 2 then
    if strings[2] < strings[1] then strings[1], strings[2] = strings[2], strings[1] end
  elseif m > 2 then
    S.sort_keys(strings, m, bytes)
  end
  if not others then return n, strings, m end
  while rawget(t, n + 1) ~= nil do n = n + 1 end
  local keys = arrange(n, strings or {}, others, name)
  return n, keys, #keys
end
