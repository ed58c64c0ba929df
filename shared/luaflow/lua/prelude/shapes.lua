--- Reading JSON of a shape that has come before: one pattern finds all values at once.
-- What an engine is fed looks alike: the same keys in the same order, other values. For a shape that
-- came a few times a reader is written, of one pattern and one table constructor, and its text is
-- read by that in a quarter of the time. Whatever a reader does not match is read as ever.
local K = ...
local N = K.native
local D = K.decoder
local byte, find, match, gsub = N.string.byte, N.string.find, N.string.match, N.string.gsub
local format, concat, tonumber = N.string.format, N.table.concat, N.tonumber

local LEAST, MOST = 24, 4096 -- bytes of a text
local OFTEN, SHAPES, KEYS = 8, 4, 200 -- texts before a reader is written; readers of a key; keys
local VALUES, DEPTH, TIRED = 30, 8, 64 -- (a pattern has 32 captures); misses before it is left

local STRING, NUMBER, WORD = '"([^"\\%c]*)"', "(-?%d[%d.eE+-]*)", "([tf]%l+)"

-- Learning -------------------------------------------------------------------------------------

-- One text: where it is read, the pattern and the number of values so far.
local function literal(at, text)
  at.pattern[#at.pattern + 1] = gsub(text, "%W", "%%%0")
  at.i = at.i + #text
end

local function capture(at, pattern, wrap)
  local text = match(at.text, "^" .. pattern, at.i)
  at.n = at.n + 1
  if not text or at.n > VALUES then return nil end
  at.pattern[#at.pattern + 1] = pattern
  at.i = at.i + #text
  return format(wrap, at.n)
end

local value

-- The members of an object or a list up to its end, as the body of a constructor.
local function members(at, depth, close, member)
  local parts = {}
  if byte(at.text, at.i) == close then return nil end -- `{}` and `[]` are not the same empty table
  while true do
    local part = member(at, depth)
    if not part then return nil end
    parts[#parts + 1] = part
    local c = byte(at.text, at.i)
    if c == close then
      literal(at, c == 93 and "]" or "}")
      return "{" .. concat(parts, ",") .. "}", #parts
    end
    if c ~= 44 then return nil end
    literal(at, ",")
  end
end

local function field(at, depth)
  local key = match(at.text, '^"([^"\\%c]*)":', at.i)
  if not key or key == "$lf" then return nil end
  literal(at, '"' .. key .. '":')
  local expression = value(at, depth)
  return expression and format("[%q]=%s", key, expression)
end

function value(at, depth)
  local c = byte(at.text, at.i)
  if c == 34 then
    local expression = capture(at, STRING, "c%d")
    at.i = at.i + 2 -- its quotes
    return expression
  end
  if (c == 123 or c == 91) and depth < DEPTH then
    literal(at, c == 123 and "{" or "[")
    if c == 123 then return members(at, depth + 1, 125, field) end
    return members(at, depth + 1, 93, value)
  end
  if c == 116 or c == 102 then return capture(at, WORD, 'c%d=="true"') end
  if c == 45 or c and c >= 48 and c <= 57 then return capture(at, NUMBER, "number(c%d)") end
end

local function learn(text)
  local at = {text = text, i = 1, n = 0, pattern = {}}
  local expression, size = value(at, 0)
  if not expression or at.i ~= #text + 1 or at.n == 0 then return nil end
  local names = {}
  for i = 1, at.n do names[i] = "c" .. i end
  -- nothing of the text stands in this code but its keys, and those are quoted
  local code = format("local find,number=... return function(s) local _,stop,%s=find(s,%q) "
    .. "if stop then return true,%s,%s end end", concat(names, ","),
    "^" .. concat(at.pattern) .. "$", expression, byte(text, 1) == 91 and size or "nil")
  return N.compile(code, "=luaflow/shape", {})(find, tonumber)
end

-- Reading --------------------------------------------------------------------------------------

-- The first key (or string) of a text -> its readers, and how often one fitted, or none did.
local known, count = {}, 0
local read = D.boundary

local function missed(shapes, s)
  shapes.missed = shapes.missed + 1
  if shapes.missed % OFTEN == 0 and #shapes < SHAPES then shapes[#shapes + 1] = learn(s) end
  shapes.tired = shapes.missed >= TIRED and shapes.missed > shapes.fitted -- they all differ
  return read(s)
end

--- Read JSON that the engine wrote, as `boundary` of decode.lua.
function D.boundary(s)
  if #s < LEAST then
    -- many are one whole number, which reads the same wherever it is read
    if find(s, "^[1-9]%d*$") then return tonumber(s) end
    return read(s)
  end
  if #s > MOST then return read(s) end
  local first = match(s, '^[%[{]+"([^"]*)"')
  if not first then return read(s) end
  local shapes = known[first]
  if not shapes then
    if count >= KEYS or #first > 64 then known, count = {}, 0 end
    shapes, count = {missed = 0, fitted = 0, tired = false}, count + 1
    known[first] = shapes
  end
  if shapes.tired then return read(s) end
  for i = 1, #shapes do
    local fits, result, n = shapes[i](s)
    if fits then
      shapes.fitted = shapes.fitted + 1
      return result, n
    end
  end
  return missed(shapes, s)
end
