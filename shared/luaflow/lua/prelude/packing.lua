--- string.pack and its kin: native sizes and order differ between machines, so both are fixed.
local K = ...
local N, S = K.native, K.stable
local L, charge = K.strings, K.guard.charge
local type, select, tonumber = N.type, N.select, N.tonumber
local gmatch, gsub = N.string.gmatch, N.string.gsub
local pack, unpack, packsize = N.string.pack, N.string.unpack, N.string.packsize
local raise, bad_argument = S.raise, S.bad_argument

local MAX_FORMAT, MAX_RESULT = 1000, 10000000 -- bytes

-- "=" means little endian, as at the beginning; sizes without a number are those of 64 bits.
local FIXED = {["="] = "<", l = "i8", L = "I8", j = "i8", J = "I8", T = "I8", h = "i2", H = "I2"}
local DEFAULT = {i = "4", I = "4", s = "8", ["!"] = "8"}

local function sized(letter, digits)
  return letter .. (digits == "" and DEFAULT[letter] or digits)
end

local function checked(name, layout)
  if type(layout) ~= "string" then bad_argument(1, name, "string", layout) end
  if #layout > MAX_FORMAT then
    raise("string." .. name .. ": the format is longer than " .. MAX_FORMAT .. " bytes")
  end
  return "<" .. gsub(gsub(layout, "([iIs!])(%d*)", sized), "[=lLjJThH]", FIXED)
end

local function bounded(name, size)
  if size > MAX_RESULT then
    raise("string." .. name .. ": the result would be longer than " .. MAX_RESULT .. " bytes")
  end
  charge(50 + (size >> 4))
end

-- The bytes that texts of fixed length take, whatever is packed into them.
local function fixed(name, layout)
  local size = 0
  for digits in gmatch(layout, "c(%d+)") do
    if #digits > 8 then bounded(name, MAX_RESULT + 1) end
    size = size + tonumber(digits)
  end
  return size + 16 * #layout
end

function L.pack(layout, ...)
  layout = checked("pack", layout)
  local size = fixed("pack", layout)
  for i = 1, select("#", ...) do
    local value = select(i, ...)
    if type(value) == "string" then size = size + #value end
  end
  bounded("pack", size)
  return pack(layout, ...)
end

function L.unpack(layout, data, position)
  layout = checked("unpack", layout)
  if type(data) ~= "string" then bad_argument(2, "unpack", "string", data) end
  charge(50 + (#data >> 4))
  return unpack(layout, data, position == nil and 1 or position)
end

function L.packsize(layout)
  return packsize(checked("packsize", layout))
end
