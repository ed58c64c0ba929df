--- JSON text -> Lua values, with or without the tags of the boundary.
local K = ...
local N = K.native
local byte, sub, find, char = N.string.byte, N.string.sub, N.string.find, N.string.char
local gsub, match = N.string.gsub, N.string.match
local tonumber, error, setmetatable, type = N.tonumber, N.error, N.setmetatable, N.type
local rawequal = N.rawequal
local utf8_char = N.utf8.char
local check = K.guard.check

local D = {}
K.decoder = D

-- Tables read from `{}`: they are written as `{}` again while they stay empty.
local empty_objects = setmetatable({}, {__mode = "k"})
D.empty_objects = empty_objects

-- A failure of ours on its way through pcall.
local Bad = {}
local function bad(message, at)
  error(setmetatable({message = message .. " at character " .. at}, Bad), 0)
end

local simple -- no backslash and no control character anywhere in this text
local tagged -- resolve tags in this reading
local max_depth
local value

local SHORT = {
  ['"'] = '"', ["\\"] = "\\", ["/"] = "/", b = "\b", f = "\f", n = "\n", r = "\r", t = "\t",
}

local function unescape(text, at)
  text = gsub(text, "\\u[dD]([89aAbB]%x%x)\\u[dD]([c-fC-F]%x%x)", function(high, low)
    local code = 0x10000 + (tonumber(high, 16) - 0x800) * 0x400 + (tonumber(low, 16) - 0xC00)
    return utf8_char(code)
  end)
  local position = find(text, "\\", 1, true)
  local out, from = {}, 1
  while position do
    out[#out + 1] = sub(text, from, position - 1)
    local c = sub(text, position + 1, position + 1)
    if c == "u" then
      local hex = match(text, "^%x%x%x%x", position + 2)
      if not hex then bad("invalid \\u escape", at) end
      local code = tonumber(hex, 16)
      -- A lone surrogate has no UTF-8: the replacement character, as Go reads it.
      if code >= 0xD800 and code <= 0xDFFF then code = 0xFFFD end
      out[#out + 1] = utf8_char(code)
      from = position + 6
    else
      local plain = SHORT[c]
      if not plain then bad("invalid escape", at) end
      out[#out + 1] = plain
      from = position + 2
    end
    position = find(text, "\\", from, true)
  end
  out[#out + 1] = sub(text, from)
  return N.table.concat(out)
end

-- `i` is the first character after the opening quote.
local function string_at(s, i)
  local j = find(s, '"', i, true)
  if not j then bad("unfinished string", i) end
  local text = sub(s, i, j - 1)
  if simple or not find(text, "[\\\0-\31]") then return text, j + 1 end
  -- The quote found may be escaped: walk over the escapes.
  j = i
  while true do
    j = find(s, '["\\]', j)
    if not j then bad("unfinished string", i) end
    if byte(s, j) == 34 then break end
    j = j + 2
  end
  text = sub(s, i, j - 1)
  if find(text, "[\0-\31]") then bad("control character in string", i) end
  return unescape(text, i), j + 1
end

-- The position of the first character from `i` on that is no space.
local function skip(s, i)
  return find(s, "[^ \t\r\n]", i) or #s + 1
end

local function object_at(s, i, depth)
  local t = {}
  if byte(s, i) ~= 34 then
    i = skip(s, i)
    if byte(s, i) == 125 then
      empty_objects[t] = true
      return t, i + 1
    end
  end
  local size = 0
  while true do
    if byte(s, i) ~= 34 then
      i = skip(s, i)
      if byte(s, i) ~= 34 then bad("expected a string key", i) end
    end
    local key, item
    key, i = string_at(s, i + 1)
    if byte(s, i) ~= 58 then
      i = skip(s, i)
      if byte(s, i) ~= 58 then bad("expected ':'", i) end
    end
    item, i = value(s, i + 1, depth)
    t[key] = item
    size = size + 1
    local c = byte(s, i)
    if c ~= 44 and c ~= 125 then
      i = skip(s, i)
      c = byte(s, i)
    end
    i = i + 1
    if c == 125 then break end
    if c ~= 44 then bad("expected ',' or '}'", i - 1) end
  end
  if tagged and t["$lf"] ~= nil then return D.untag(t, size), i end
  return t, i
end

local function array_at(s, i, depth)
  local t, n = {}, 0
  local c = byte(s, i)
  if c == 93 or c and c <= 32 and byte(s, skip(s, i)) == 93 then return t, skip(s, i) + 1, 0 end
  while true do
    n = n + 1
    t[n], i = value(s, i, depth)
    local c = byte(s, i)
    if c ~= 44 and c ~= 93 then
      i = skip(s, i)
      c = byte(s, i)
    end
    i = i + 1
    if c == 93 then return t, i, n end
    if c ~= 44 then bad("expected ',' or ']'", i - 1) end
  end
end

local function number_at(s, i)
  local _, j = find(s, "^-?%d+[%d.eE+-]*", i)
  if not j then bad("unexpected character", i) end
  local text = sub(s, i, j)
  local number = tonumber(text)
  if not number or find(text, "^-?0%d") or find(text, "%.%D") or find(text, "%.$") then
    bad("invalid number", i)
  end
  return number, j + 1
end

local WORDS = {[116] = {"true", true}, [102] = {"false", false}, [110] = {"null", nil}}

function value(s, i, depth)
  local c = byte(s, i)
  if c == 34 then return string_at(s, i + 1) end
  if c == 123 or c == 91 then
    depth = depth + 1
    if depth > max_depth then bad("nested deeper than " .. max_depth .. " levels", i) end
    if c == 123 then return object_at(s, i + 1, depth) end
    return array_at(s, i + 1, depth)
  end
  if c == nil then bad("unexpected end", i) end
  if c <= 32 then
    local after = skip(s, i)
    if after == i then bad("control character", i) end
    return value(s, after, depth)
  end
  local word = WORDS[c]
  if word then
    if sub(s, i, i + #word[1] - 1) ~= word[1] then bad("unexpected word", i) end
    return word[2], i + #word[1]
  end
  return number_at(s, i)
end

local function whole(s)
  simple = not find(s, "[\\\0-\31]")
  local result, i, n = value(s, 1, 0)
  if i <= #s and skip(s, i) <= #s then bad("unexpected text after the value", i) end
  return result, n
end

--- Read JSON that the engine wrote: (value, number of elements if it is an array).
-- Tags become what they stand for; anything else wrong is a fault of the engine.
function D.boundary(s)
  tagged, max_depth = true, 200
  return whole(s)
end

--- Read JSON of the outside: true, value or false, message.
function D.plain(s)
  tagged, max_depth = false, 128
  local ok, result = N.pcall(whole, s)
  if ok then return true, result end
  if type(result) == "table" and rawequal(N.debug.getmetatable(result), Bad) then
    return false, result.message
  end
  error(result, 0)
end

--- Throw the message of a `Bad` as text, for the door.
function D.message_of(e)
  if type(e) == "table" and rawequal(N.debug.getmetatable(e), Bad) then return e.message end
  return N.tostring(e)
end

local FLOATS = {nan = 0 / 0, inf = 1 / 0, ["-inf"] = -1 / 0}
local CODES = {}
for i = 1, 64 do
  local letters = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"
  CODES[byte(letters, i)] = i - 1
end

--- Bytes of standard base64 text, or nil when it is none.
function D.base64(text)
  if #text % 4 ~= 0 or not find(text, "^[%w+/]*=?=?$") then return nil end
  local out, n, first = {}, 0, 1
  -- All but the last letters, which may be padding, eight at a time.
  for i = 1, #text - 11, 8 do
    local a, b, c, d, e, f, g, h = byte(text, i, i + 7)
    local high = CODES[a] << 18 | CODES[b] << 12 | CODES[c] << 6 | CODES[d]
    local low = CODES[e] << 18 | CODES[f] << 12 | CODES[g] << 6 | CODES[h]
    n = n + 1
    out[n] = char(high >> 16, high >> 8 & 255, high & 255, low >> 16, low >> 8 & 255, low & 255)
    first = i + 8
    if i & 8191 == 1 then check() end
  end
  for i = first, #text, 4 do
    local a, b, c, d = byte(text, i, i + 3)
    local bits = CODES[a] << 18 | CODES[b] << 12 | (CODES[c] or 0) << 6 | (CODES[d] or 0)
    n = n + 1
    if d ~= 61 then
      out[n] = char(bits >> 16, bits >> 8 & 255, bits & 255)
    elseif c ~= 61 then
      out[n] = char(bits >> 16, bits >> 8 & 255)
    else
      out[n] = char(bits >> 16)
    end
  end
  return N.table.concat(out)
end

--- What a tagged object stands for.
function D.untag(t, size)
  local tag, body = t["$lf"], t.v
  if size == 2 then
    if tag == "bytes" and type(body) == "string" then return D.base64(body) end
    if tag == "float" and FLOATS[body] then return FLOATS[body] end
    if tag == "error" and type(body) == "table" then return K.errors.from_failure(body) end
    if tag == "map" and type(body) == "table" then
      local map = {}
      for i = 1, #body do map[body[i][1]] = body[i][2] end
      return map
    end
  end
  bad("unknown tag '" .. N.tostring(tag) .. "'", 1)
end
