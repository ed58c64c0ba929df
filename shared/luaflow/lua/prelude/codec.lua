--- Lua values -> JSON text: the tagged form of the boundary, and the plain form of `json`.
local K = ...
local N = K.native
local type, next, rawlen, rawget, error = N.type, N.next, N.rawlen, N.rawget, N.error
local format, find = N.string.format, N.string.find
local quoted, float_text = K.text.quoted, K.text.float
local sort, concat = N.table.sort, N.table.concat
local math_type, pcall, tostring = N.math.type, N.pcall, N.tostring
local raw_metatable = N.debug.getmetatable
local utf8_len = N.utf8.len
local charge = K.guard.charge

local C = {base64 = K.text.base64, decode = K.decoder.boundary, decode_plain = K.decoder.plain}
K.codec = C

local MAX_DEPTH = 64 -- of luaflow.domain.values as well
C.max_depth = MAX_DEPTH
local MAX_KEY, MAX_KEYS = 64, 2000 -- bytes of a key that is kept, how many are
local empty_objects = K.decoder.empty_objects
local Error = K.errors.class

local plain_of = K.plain_of

-- A refusal on its way through pcall; `explain` finds the words for it.
local REFUSED = {}
local function bad()
  error(REFUSED, 0)
end

--- The plain value of an object of the kernel: true and it, or false where it has none.
function C.converted(convert, object)
  local ok, plain = pcall(convert, object)
  if not ok then
    -- The end of the budget is no refusal.
    K.guard.note(plain)
    K.guard.alive()
  end
  return ok, plain
end
local converted = C.converted

local tagged -- the boundary's form, or that of the json module
local limit
local put

-- Tables ---------------------------------------------------------------------------------------

local less, sort_keys = K.stable.less, K.stable.sort_keys

local RANK = {number = 1, string = 2, boolean = 3}

--- Numbers, then strings by bytes, then false and true.
function C.key_order(a, b)
  local ra, rb = RANK[type(a)], RANK[type(b)]
  if ra ~= rb then return ra < rb end
  charge(ra == 2 and 10 + #a or 10)
  if ra == 1 then return a < b end
  if ra == 2 then return less(a, b) end
  return not a and b
end

-- Short keys known to need no tag, up to a bound.
local plain_keys, plain_count = {}, 0
local function is_plain(key)
  if #key > MAX_KEY then
    charge(#key)
    return not find(key, "[\128-\255]") or utf8_len(key) ~= nil
  end
  if key == "$lf" or find(key, "[\128-\255]") and not utf8_len(key) then return false end
  if plain_count >= MAX_KEYS then plain_keys, plain_count = {}, 0 end
  plain_keys[key], plain_count = true, plain_count + 1
  return true
end

-- How a table is written: the length of a list; or nil, its keys, whether all are plain, how many
-- they are, and the bytes of those that are not known.
local function shape(t)
  local keys, n, plain, bytes = {}, 0, true, 0
  for key in next, t do
    n = n + 1
    keys[n] = key
    local kind = type(key)
    if kind ~= "string" then
      plain = false
      if not RANK[kind] then bad() end
    elseif not plain_keys[key] then
      bytes = bytes + #key
      if not is_plain(key) then plain = false end
    end
  end
  charge(20 + n)
  if n > 0 and rawlen(t) == n then
    local i = 1
    while i <= n and rawget(t, i) ~= nil do i = i + 1 end
    if i > n then return n end
  end
  return nil, keys, plain, n, bytes
end

-- After every 128th of many elements: results are written where there is no hook.
local function pace()
  charge(2000)
end

local function put_list(t, n, depth)
  local parts = {}
  for i = 1, n do
    parts[i] = put(rawget(t, i), depth)
    if i & 127 == 0 then pace() end
  end
  return "[" .. concat(parts, ",") .. "]"
end

-- Keys recur: the quoted form of short ones is kept, up to a bound.
local key_texts, key_count = {}, 0
local function key_text(key)
  local text = key_texts[key]
  if not text then
    text = quoted(key) .. ":"
    if #key > MAX_KEY then return text end
    if key_count >= MAX_KEYS then key_texts, key_count = {}, 0 end
    key_texts[key], key_count = text, key_count + 1
  end
  return text
end

local function put_object(t, keys, n, depth, bytes)
  if n == 1 then
    local key = keys[1]
    return "{" .. key_text(key) .. put(rawget(t, key), depth) .. "}"
  end
  if n > 8 or bytes > 65536 then
    sort_keys(keys, n, bytes)
  else
    for i = 2, n do
      local key, j = keys[i], i - 1
      while j > 0 and key < keys[j] do
        keys[j + 1] = keys[j]
        j = j - 1
      end
      keys[j + 1] = key
    end
  end
  for i = 1, n do
    local key = keys[i]
    keys[i] = key_text(key) .. put(rawget(t, key), depth)
    if i & 127 == 0 then pace() end
  end
  return "{" .. concat(keys, ",") .. "}"
end

local function put_map(t, keys, depth)
  sort(keys, C.key_order)
  for i = 1, #keys do
    local key = keys[i]
    keys[i] = "[" .. put(key, depth) .. "," .. put(rawget(t, key), depth) .. "]"
  end
  return '{"$lf":"map","v":[' .. concat(keys, ",") .. "]}"
end

-- A failure as Python writes it: "retryable" is there even when undecided.
local function put_failure(e, depth)
  local failure = K.errors.to_failure(e)
  local details = ""
  if failure.details then details = '"details":' .. put(failure.details, depth + 1) .. "," end
  local retryable = failure.retryable
  if retryable == nil then retryable = "null" end
  local stack = failure.stack and ',"stack":' .. quoted(failure.stack, tagged) or ""
  return "{" .. details .. '"kind":' .. quoted(failure.kind, tagged) .. ',"message":'
    .. quoted(failure.message, tagged) .. ',"retryable":' .. tostring(retryable) .. stack .. "}"
end

local function put_table(t, depth)
  if depth >= limit then bad() end
  local class = raw_metatable(t)
  if class then
    if class == Error then
      if not tagged then return quoted(tostring(t), tagged) end
      return '{"$lf":"error","v":' .. put_failure(t, depth) .. "}"
    end
    local convert = plain_of[class]
    if convert then
      local ok, plain = converted(convert, t)
      return ok and put(plain, depth + 1) or bad()
    end
  end
  local n, keys, plain, count, bytes = shape(t)
  if n then return put_list(t, n, depth + 1) end
  if keys[1] == nil then return empty_objects[t] and "{}" or "[]" end
  if plain or not tagged and K.json_keys(keys) then
    return put_object(t, keys, count, depth + 1, bytes)
  end
  return put_map(t, keys, depth + 1)
end

--- True when every key is a string; otherwise json cannot say the table.
function K.json_keys(keys)
  for i = 1, #keys do
    if type(keys[i]) ~= "string" then bad() end
  end
  return true
end

function put(v, depth)
  local kind = type(v)
  if kind == "string" then return quoted(v, tagged) end
  if kind == "number" then
    if math_type(v) == "integer" then return format("%d", v) end
    charge(50)
    return float_text(v, tagged)
  end
  if kind == "table" then return put_table(v, depth) end
  if kind == "boolean" then return v and "true" or "false" end
  if kind == "nil" then return "null" end
  bad()
end

-- The words for a refusal of `v`; any other error passes on.
local function refused(e, v)
  if e ~= REFUSED then error(e, 0) end
  return C.explain(v, limit, tagged)
end

local function guarded(v, as_boundary, depth)
  tagged, limit = as_boundary, depth
  local ok, text = pcall(put, v, 0)
  if ok then return text end
  return nil, refused(text, v)
end

--- The tagged JSON of a value, or nil and what is wrong with it.
function C.encode(v)
  return guarded(v, true, MAX_DEPTH)
end

--- The failure object of an error as JSON; details that cannot travel are left out.
function C.encode_failure(e)
  tagged, limit = true, MAX_DEPTH
  local ok, text = pcall(put_failure, e, 0)
  if ok then return text end
  if text ~= REFUSED then error(text, 0) end
  return put_failure(K.errors.without_details(e), 0)
end

--- The plain JSON of a value for the json module, or nil and a message.
function C.encode_plain(v)
  return guarded(v, false, 128)
end

--- The tagged JSON array of `n` values, or nil and what is wrong.
function C.encode_args(n, ...)
  if n == 0 then return "[]" end
  if n == 1 then
    local text, wrong = guarded((...), true, MAX_DEPTH)
    if not text then return nil, "argument 1: " .. wrong end
    return "[" .. text .. "]"
  end
  local parts = {...}
  tagged, limit = true, MAX_DEPTH
  for i = 1, n do
    local ok, text = pcall(put, parts[i], 0)
    if not ok then return nil, "argument " .. i .. ": " .. refused(text, parts[i]) end
    parts[i] = text
  end
  return "[" .. concat(parts, ",") .. "]"
end
