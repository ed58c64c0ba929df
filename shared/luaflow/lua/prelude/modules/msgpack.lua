--- MessagePack, for payloads: plain values <-> bytes.
local K = ...
local N = K.native
local codec, charge = K.codec, K.guard.charge
local type, rawget, raw_metatable = N.type, N.rawget, N.debug.getmetatable
local math_type, tostring = N.math.type, K.stable.tostring
local byte, char, sub = N.string.byte, N.string.char, N.string.sub
local pack, unpack, valid = N.string.pack, N.string.unpack, N.utf8.len
local empty_objects = K.decoder.empty_objects

local M = {}
K.msgpack = M

local MAX_DEPTH = codec.max_depth

-- Writing --------------------------------------------------------------------------------------

-- The head of a text, list or map: (the short form and its most, then codes of 8, 16 and 32 bits).
local function head(n, short, most, code8, code16, code32)
  if n <= most then return char(short + n) end
  if code8 and n <= 255 then return pack(">BB", code8, n) end
  if n <= 65535 then return pack(">BI2", code16, n) end
  return pack(">BI4", code32, n)
end

local function integer(v)
  if v >= 0 then
    if v <= 127 then return char(v) end
    if v <= 255 then return pack(">BB", 0xCC, v) end
    if v <= 65535 then return pack(">BI2", 0xCD, v) end
    if v <= 0xFFFFFFFF then return pack(">BI4", 0xCE, v) end
    return pack(">BI8", 0xCF, v)
  end
  if v >= -32 then return pack(">b", v) end
  if v >= -128 then return pack(">Bb", 0xD0, v) end
  if v >= -32768 then return pack(">Bi2", 0xD1, v) end
  if v >= -0x80000000 then return pack(">Bi4", 0xD2, v) end
  return pack(">Bi8", 0xD3, v)
end

local function text(v)
  charge(#v >> 4)
  if valid(v) then return head(#v, 0xA0, 31, 0xD9, 0xDA, 0xDB) .. v end
  return head(#v, 0, -1, 0xC4, 0xC5, 0xC6) .. v
end

local put

local function put_table(v, out)
  local class = raw_metatable(v)
  if class == K.errors.class then return put(tostring(v), out) end
  local convert = class and K.plain_of[class]
  if convert then return put(convert(v), out) end
  local keys = {}
  for key in N.next, v do keys[#keys + 1] = key end
  local n = #keys
  charge(20 + n)
  N.table.sort(keys, codec.key_order)
  if n == 0 and not empty_objects[v] or n > 0 and keys[1] == 1 and keys[n] == n then
    out[#out + 1] = head(n, 0x90, 15, nil, 0xDC, 0xDD)
    for i = 1, n do put(rawget(v, i), out) end
    return
  end
  out[#out + 1] = head(n, 0x80, 15, nil, 0xDE, 0xDF)
  for i = 1, n do
    put(keys[i], out)
    put(rawget(v, keys[i]), out)
  end
end

function put(v, out)
  local kind = type(v)
  if kind == "table" then return put_table(v, out) end
  local bytes
  if kind == "string" then
    bytes = text(v)
  elseif kind == "number" then
    bytes = math_type(v) == "integer" and integer(v) or pack(">Bd", 0xCB, v)
  elseif kind == "boolean" then
    bytes = v and "\xC3" or "\xC2"
  else
    bytes = "\xC0"
  end
  out[#out + 1] = bytes
end

--- The bytes of a value, or nil and what is wrong with it.
function M.encode(v)
  local wrong = codec.problem(v)
  if wrong then return nil, wrong end
  local out = {}
  put(v, out)
  return N.table.concat(out)
end

-- Reading --------------------------------------------------------------------------------------

-- The numbers: code -> how they are packed.
local NUMBERS = {
  [0xCA] = ">f", [0xCB] = ">d", [0xCC] = ">B", [0xCD] = ">I2", [0xCE] = ">I4", [0xCF] = ">i8",
  [0xD0] = ">b", [0xD1] = ">i2", [0xD2] = ">i4", [0xD3] = ">i8",
}
local TEXTS = {
  [0xC4] = ">s1", [0xC5] = ">s2", [0xC6] = ">s4", [0xD9] = ">s1", [0xDA] = ">s2", [0xDB] = ">s4",
}
local COUNTS = {[0xDC] = ">I2", [0xDD] = ">I4", [0xDE] = ">I2", [0xDF] = ">I4"}

-- A refusal on its way through pcall.
local BROKEN = {}
local function broken() N.error(BROKEN, 0) end

local take

local function take_list(data, at, n, depth)
  local list = {}
  for i = 1, n do list[i], at = take(data, at, depth) end
  return list, at
end

local function take_map(data, at, n, depth)
  local map = {}
  if n == 0 then empty_objects[map] = true end
  for _ = 1, n do
    local key, value
    key, at = take(data, at, depth)
    if key == nil or key ~= key or type(key) == "table" then broken() end
    value, at = take(data, at, depth)
    map[key] = value
  end
  return map, at
end

-- The value at a position, and where the next one begins; `unpack` raises where the data ends.
function take(data, at, depth)
  local code = byte(data, at)
  if not code or depth > MAX_DEPTH + 1 then broken() end
  charge(20)
  at = at + 1
  if code <= 0x7F then return code, at end
  if code <= 0x8F then return take_map(data, at, code & 15, depth + 1) end
  if code <= 0x9F then return take_list(data, at, code & 15, depth + 1) end
  if code <= 0xBF then
    local stop = at + (code & 31)
    if stop > #data + 1 then broken() end
    return sub(data, at, stop - 1), stop
  end
  if code >= 0xE0 then return code - 256, at end
  if code == 0xC0 then return nil, at end
  if code == 0xC2 or code == 0xC3 then return code == 0xC3, at end
  local layout = NUMBERS[code] or TEXTS[code]
  if layout then return unpack(layout, data, at) end
  layout = COUNTS[code]
  if not layout then broken() end
  local n
  n, at = unpack(layout, data, at)
  if n > #data then broken() end
  return (code <= 0xDD and take_list or take_map)(data, at, n, depth + 1)
end

--- True and the value of bytes, or false.
function M.decode(data)
  local ok, value, stop = N.pcall(take, data, 1, 1)
  if ok then return stop == #data + 1, value end
  -- The end of the budget is no refusal.
  K.guard.note(value)
  K.guard.alive()
  return false
end
