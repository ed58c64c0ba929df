--- Lua values -> JSON text: the tagged form of the boundary, and the plain form of `json`.
local K = ...
local N = K.native
local type, rawget, error, select = N.type, N.rawget, N.error, N.select
local quoted, float_text = K.text.quoted, K.text.float
local sort, concat = N.table.sort, N.table.concat
local math_type, pcall, tostring = N.math.type, N.pcall, N.tostring
local raw_metatable = N.debug.getmetatable
local charge, sort_keys, O = K.guard.charge, K.stable.sort_keys, K.objects
local known, shape, length, key_text, learn = O.find, O.shape, O.length, O.key_text, O.learn

local C = {base64 = K.text.base64, decode = K.decoder.boundary, decode_plain = K.decoder.plain,
  key_order = O.key_order}
K.codec = C

local MAX_DEPTH = 64 -- of luaflow.domain.values as well
C.max_depth = MAX_DEPTH
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
local put, put_other

-- Writing --------------------------------------------------------------------------------------

-- All pieces of one text, joined at its end; whole numbers stand in it as they are.
local pieces, count = {}, 0
local function add(piece)
  count = count + 1
  pieces[count] = piece
end

local KEPT, LONG = 400, 4096 -- pieces; bytes of a text: beyond, nothing is kept of it

local function written()
  local text = concat(pieces, "", 1, count)
  if count > KEPT or #text > LONG then pieces = {} end
  return text
end

-- After every 128th of many elements: results are written where there is no hook.
local function pace()
  charge(2000)
end

local function put_list(t, n, depth, class)
  local before = "["
  for i = 1, n do
    add(before)
    before = ","
    local v
    if class then v = rawget(t, i) else v = t[i] end
    put(v, depth)
    if i & 127 == 0 then pace() end
  end
  add("]")
end

local function put_object(t, keys, n, depth, bytes)
  if bytes == 0 and n <= O.most then learn(keys, n) end -- all are known, and so plain and short
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
  local before = "{"
  for i = 1, n do
    local key = keys[i]
    add(before)
    before = ","
    add(key_text(key))
    put(rawget(t, key), depth)
    if i & 127 == 0 then pace() end
  end
  add("}")
end

-- An object whose keys came before, all without a metatable. Most values are texts.
local function put_known(t, plan, depth)
  local keys, texts = plan.keys, plan.texts
  for i = 1, plan.n do
    local v, n = t[keys[i]], count + 1
    local kind = type(v)
    pieces[n] = texts[i]
    if kind == "string" then
      n = n + 1
      pieces[n] = quoted(v, tagged)
      count = n
    else
      count = n
      put_other(kind, v, depth)
    end
  end
  add("}")
end

local function put_map(t, keys, depth)
  sort(keys, C.key_order)
  local before = '{"$lf":"map","v":[['
  for i = 1, #keys do
    local key = keys[i]
    add(before)
    before = "],["
    put(key, depth)
    add(",")
    put(rawget(t, key), depth)
  end
  add("]]}")
end

-- A failure as Python writes it: "retryable" is there even when undecided.
local function put_failure(e, depth)
  local failure = K.errors.to_failure(e)
  add("{")
  if failure.details then
    add('"details":')
    put(failure.details, depth + 1)
    add(",")
  end
  local retryable = failure.retryable
  if retryable == nil then retryable = "null" end
  local stack = failure.stack and ',"stack":' .. quoted(failure.stack, tagged) or ""
  add('"kind":' .. quoted(failure.kind, tagged) .. ',"message":'
    .. quoted(failure.message, tagged) .. ',"retryable":' .. tostring(retryable) .. stack .. "}")
end

local function put_instance(class, t, depth)
  if class == Error then
    if not tagged then return add(quoted(tostring(t), tagged)) end
    add('{"$lf":"error","v":')
    put_failure(t, depth)
    return add("}")
  end
  local ok, plain = converted(plain_of[class], t)
  if not ok then bad() end
  put(plain, depth + 1)
end

local function put_table(t, depth)
  if depth >= limit then bad() end
  local class = raw_metatable(t)
  if class then
    if class == Error or plain_of[class] then return put_instance(class, t, depth) end
  else
    local plan = known(t)
    if plan then
      charge(20 + plan.n)
      return put_known(t, plan, depth + 1)
    end
  end
  local size = length(t)
  if size then return put_list(t, size, depth + 1, class) end
  local keys, plain, n, bytes = shape(t)
  if not keys then bad() end
  if n == 0 then return add(empty_objects[t] and "{}" or "[]") end
  if plain or not tagged and K.json_keys(keys) then
    return put_object(t, keys, n, depth + 1, bytes)
  end
  put_map(t, keys, depth + 1)
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
  if kind == "string" then return add(quoted(v, tagged)) end
  return put_other(kind, v, depth)
end

function put_other(kind, v, depth)
  if kind == "table" then
    put_table(v, depth)
  elseif kind == "number" then
    if math_type(v) == "integer" then return add(v) end
    charge(50)
    add(float_text(v, tagged))
  elseif kind == "boolean" then
    add(v and "true" or "false")
  elseif kind == "nil" then
    add("null")
  else
    bad()
  end
end

-- The words for a refusal of `v`; any other error passes on.
local function refused(e, v)
  pieces = {}
  if e ~= REFUSED then error(e, 0) end
  return C.explain(v, limit, tagged)
end

local function begin(as_boundary, depth)
  tagged, limit, count = as_boundary, depth, 0
end

-- The text of a value that needs no joining; nil for any other.
local function simple(v, as_boundary)
  local kind = type(v)
  if kind == "string" then return quoted(v, as_boundary) end
  if kind == "number" and math_type(v) == "integer" then return v .. "" end
  if v == nil then return "null" end
end

local function guarded(v, as_boundary, depth)
  local text = simple(v, as_boundary)
  if text then return text end
  begin(as_boundary, depth)
  local ok, wrong = pcall(put, v, 0)
  if ok then return written() end
  return nil, refused(wrong, v)
end

--- The tagged JSON of a value, or nil and what is wrong with it.
function C.encode(v)
  return guarded(v, true, MAX_DEPTH)
end

--- The failure object of an error as JSON; details that cannot travel are left out.
function C.encode_failure(e)
  begin(true, MAX_DEPTH)
  local ok, wrong = pcall(put_failure, e, 0)
  if not ok then
    pieces = {}
    if wrong ~= REFUSED then error(wrong, 0) end
    count = 0
    put_failure(K.errors.without_details(e), 0)
  end
  return written()
end

--- The plain JSON of a value for the json module, or nil and a message.
function C.encode_plain(v)
  return guarded(v, false, 128)
end

--- The tagged JSON array of `n` values, or nil and what is wrong.
function C.encode_args(n, ...)
  if n == 0 then return "[]" end
  local alone = n == 1 and simple((...), true)
  if alone then return "[" .. alone .. "]" end
  begin(true, MAX_DEPTH)
  for i = 1, n do
    add(i == 1 and "[" or ",")
    local value = select(i, ...)
    local ok, wrong = pcall(put, value, 0)
    if not ok then return nil, "argument " .. i .. ": " .. refused(wrong, value) end
  end
  add("]")
  return written()
end
