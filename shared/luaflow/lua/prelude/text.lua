--- Strings and numbers as JSON text; base64; broken UTF-8.
local K = ...
local N = K.native
local format, find, gsub, byte, sub = N.string.format, N.string.find, N.string.gsub,
  N.string.byte, N.string.sub
local charge, check = K.guard.charge, K.guard.check
local concat, tonumber, utf8_len, huge = N.table.concat, N.tonumber, N.utf8.len, N.math.huge

local X = {}
K.text = X

-- Strings --------------------------------------------------------------------------------------

local ESCAPES = {['"'] = '\\"', ["\\"] = "\\\\", ["\b"] = "\\b", ["\f"] = "\\f", ["\n"] = "\\n",
  ["\r"] = "\\r", ["\t"] = "\\t"}
for i = 0, 31 do
  local c = N.string.char(i)
  ESCAPES[c] = ESCAPES[c] or format("\\u%04x", i)
end

local LETTERS = {}
for i = 0, 63 do
  local letters = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"
  LETTERS[i] = sub(letters, i + 1, i + 1)
end

-- Bytes after which long work looks at the clock: it may run where there is no hook, or inside C.
local CHUNK = 6144

-- Two letters for each 12 bits: made when long strings are first written, for most engines never.
local pairs_of_letters
local function make_pairs()
  pairs_of_letters = {}
  for bits = 0, 4095 do pairs_of_letters[bits] = LETTERS[bits >> 6] .. LETTERS[bits & 63] end
  return pairs_of_letters
end

--- Standard padded base64 of a string.
function X.base64(s)
  local out, n, first = {}, 0, 1
  if #s >= CHUNK then
    local two = pairs_of_letters or make_pairs()
    for i = 1, #s - 5, 6 do
      local a, b, c, d, e, f = byte(s, i, i + 5)
      out[n + 1], out[n + 2] = two[a << 4 | b >> 4], two[(b & 15) << 8 | c]
      out[n + 3], out[n + 4] = two[d << 4 | e >> 4], two[(e & 15) << 8 | f]
      n = n + 4
      if i % CHUNK == 1 then check() end
      first = i + 6
    end
  end
  for i = first, #s, 3 do
    local a, b, c = byte(s, i, i + 2)
    local bits = a << 16 | (b or 0) << 8 | (c or 0)
    n = n + 1
    out[n] = LETTERS[bits >> 18] .. LETTERS[bits >> 12 & 63]
      .. (b and LETTERS[bits >> 6 & 63] or "=") .. (c and LETTERS[bits & 63] or "=")
  end
  return concat(out)
end

--- The same text with every byte that is not UTF-8 replaced by U+FFFD.
function X.repair(s)
  local out, at = {}, 1
  while at <= #s do
    charge(20)
    local ok, wrong = utf8_len(s, at)
    if ok then wrong = #s + 1 end
    out[#out + 1] = sub(s, at, wrong - 1)
    if wrong <= #s then out[#out + 1] = "\u{FFFD}" end
    at = wrong + 1
  end
  return concat(out)
end

local function long_quoted(s, tagged)
  charge(#s >> 4)
  if not utf8_len(s) then
    if tagged then return '{"$lf":"bytes","v":"' .. X.base64(s) .. '"}' end
    s = X.repair(s)
  end
  local parts = {}
  for i = 1, #s, CHUNK do
    check()
    parts[#parts + 1] = gsub(sub(s, i, i + CHUNK - 1), '[\0-\31"\\]', ESCAPES)
  end
  return '"' .. concat(parts) .. '"'
end

--- A string in quotes; `tagged`: bytes that are not UTF-8 travel as base64, else repaired.
function X.quoted(s, tagged)
  if #s > CHUNK then return long_quoted(s, tagged) end
  -- Most are letters: the set begins with those, and ends at the first match.
  if find(s, "^[]-~#-[ !]*$") then return '"' .. s .. '"' end
  if find(s, '[\0-\31"\\\128-\255]') then
    if find(s, "[\128-\255]") and not utf8_len(s) then
      if tagged then return '{"$lf":"bytes","v":"' .. X.base64(s) .. '"}' end
      return '"' .. gsub(X.repair(s), '[\0-\31"\\]', ESCAPES) .. '"'
    end
    return '"' .. gsub(s, '[\0-\31"\\]', ESCAPES) .. '"'
  end
  return '"' .. s .. '"'
end

-- Numbers --------------------------------------------------------------------------------------

--- A float, which stays one: 3.0 is never written as 3.
function X.float(v, tagged)
  if v ~= v or v == huge or v == -huge then
    if not tagged then return "null" end
    return '{"$lf":"float","v":"' .. (v ~= v and "nan" or v > 0 and "inf" or "-inf") .. '"}'
  end
  local text = v .. "" -- as "%.14g", and a float always
  if tonumber(text) == v then return text end
  text = format("%.15g", v)
  if tonumber(text) ~= v then
    text = format("%.16g", v)
    if tonumber(text) ~= v then text = format("%.17g", v) end
  end
  if not find(text, "[.e]") then text = text .. ".0" end
  return text
end
