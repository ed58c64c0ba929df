--- Whether a value can cross a boundary, and why not, in the same words on every machine.
local K = ...
local N = K.native
local type, next, format = N.type, N.next, N.string.format
local raw_metatable, math_type = N.debug.getmetatable, N.math.type
local C, charge = K.codec, K.guard.charge
local plain_of, converted, STATE, Error = K.plain_of, C.converted, K.STATE, K.errors.class
local MAX_PATH, MAX_DEPTH = 200, C.max_depth

-- The kinds of keys that no text can stand for, in the order they are complained about.
local BAD_KEYS = {"function", "table", "thread", "userdata"}

local walk

local function place(path, words)
  if path == "" then return words end
  return "at " .. N.string.sub(path, 1, MAX_PATH) .. ": " .. words
end

-- The keys in order, or what is wrong with them.
local function keys_of(t, path, tagged)
  local keys, seen, texts = {}, {}, 0
  for key in next, t do
    keys[#keys + 1] = key
    seen[type(key)] = true
    if type(key) == "string" then texts = texts + 1 end
  end
  for i = 1, #BAD_KEYS do
    if seen[BAD_KEYS[i]] then
      local words = "a key cannot be a " .. BAD_KEYS[i] .. ": use text or a number"
      return nil, place(path, words)
    end
  end
  N.table.sort(keys, C.key_order)
  if not tagged and texts < #keys and (texts > 0 or keys[1] ~= 1 or keys[#keys] ~= #keys) then
    return nil, place(path, "a table with mixed or sparse keys has no JSON form")
  end
  return keys
end

local function walk_table(t, depth, path, limit, tagged)
  charge(50)
  if depth >= limit then
    return place(path, "nested deeper than " .. limit .. " levels, or contains itself")
  end
  local class = raw_metatable(t)
  if class == K.errors.class then
    local details = t[K.STATE].details
    return tagged and details and walk(details, depth + 1, path, limit, tagged) or nil
  end
  local convert = class and K.plain_of[class]
  if convert then
    local ok, plain = C.converted(convert, t)
    if not ok then return place(path, "a " .. class.__name .. " that has no plain form") end
    return walk(plain, depth + 1, path, limit, tagged)
  end
  local keys, wrong = keys_of(t, path, tagged)
  if not keys then return wrong end
  for i = 1, #keys do
    local key = keys[i]
    local inner = path
    if #path < MAX_PATH then
      inner = path .. (type(key) == "string" and "." .. N.string.sub(key, 1, MAX_PATH)
        or format(math_type(key) == "integer" and "[%d]" or "[%s]", key))
    end
    wrong = walk(N.rawget(t, key), depth + 1, inner, limit, tagged)
    if wrong then return wrong end
  end
end

function walk(v, depth, path, limit, tagged)
  local kind = type(v)
  if kind == "table" then return walk_table(v, depth, path, limit, tagged) end
  if kind == "function" or kind == "thread" or kind == "userdata" then
    return place(path, "a " .. kind .. " cannot leave the code: send plain data")
  end
end

--- What is wrong with `v`, by its first problem in the order of `pairs`; nil if nothing is.
function C.explain(v, limit, tagged)
  return walk(v, 0, "", limit, tagged)
end

-- Checking without writing ---------------------------------------------------------------------

local IS_KEY = {number = true, string = true, boolean = true}
local CANNOT = {["function"] = true, thread = true, userdata = true}

-- True when `put` would take the value.
local function check(v, depth)
  if type(v) ~= "table" then return not CANNOT[type(v)] end
  charge(10)
  if depth >= MAX_DEPTH then return false end
  local class = raw_metatable(v)
  if class == Error then
    local details = v[STATE].details
    return not details or check(details, depth + 1)
  end
  local convert = class and plain_of[class]
  if convert then
    local ok, plain = converted(convert, v)
    return ok and check(plain, depth + 1)
  end
  local cost = 0
  for key, item in next, v do
    cost = cost + 10
    if not IS_KEY[type(key)] or not check(item, depth + 1) then return false end
  end
  charge(cost)
  return true
end

--- What `encode` would refuse about a value, or nil: for replay, where no text is needed.
function C.problem(v)
  if check(v, 0) then return nil end
  return C.explain(v, MAX_DEPTH, true)
end

--- What `encode_args` would refuse, or nil.
function C.problem_args(n, ...)
  if n == 0 or n == 1 and check((...), 0) then return nil end
  local args = {...}
  for i = 1, n do
    local wrong = C.problem(args[i])
    if wrong then return "argument " .. i .. ": " .. wrong end
  end
end
