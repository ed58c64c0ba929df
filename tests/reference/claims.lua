-- What the claims of a definition file are tested with: pasted before the lines of each block.
local wrong, KINDS = {}, {}

local function show(value, depth)
  depth = depth or 0
  if type(value) == "string" then return string.format("%q", value) end
  if type(value) ~= "table" or depth > 4 then return tostring(value) end
  local ok, text = pcall(function()
    local parts = {}
    for key, one in pairs(value) do
      parts[#parts + 1] = tostring(key) .. "=" .. show(one, depth + 1)
    end
    return "{" .. table.concat(parts, ", ") .. "}"
  end)
  return ok and text or tostring(value)
end

local function same(a, b)
  if math.type(a) ~= math.type(b) or type(a) ~= type(b) then return false end
  if a == b or (a ~= a and b ~= b) then return true end
  if type(a) ~= "table" then return false end
  local ok, equal = pcall(function()
    for key, value in pairs(a) do
      if not same(value, b[key]) then return false end
    end
    for key in pairs(b) do
      if a[key] == nil then return false end
    end
    return true
  end)
  return ok and equal
end

local function refuse(line, what, got)
  wrong[#wrong + 1] = line .. "\n      claims " .. what .. ", gives " .. got
end

local function shown(got)
  if not got[1] then return "an error: " .. tostring(got[2]) end
  local parts = {}
  for i = 2, got.n do parts[#parts + 1] = show(got[i]) end
  return #parts == 0 and "nothing" or table.concat(parts, ", ")
end

local claim = {}

function claim.values(line, got, ...)
  local want, n = {...}, select("#", ...)
  local ok = got[1]
  for i = 1, n do ok = ok and same(got[i + 1], want[i]) end
  if not ok then
    local parts = {}
    for i = 1, n do parts[i] = show(want[i]) end
    refuse(line, table.concat(parts, ", "), shown(got))
  end
end

function claim.fails(line, got, kind)
  local e = got[3]
  local known = got[1] and got[2] == nil and e ~= nil and errors.is(e, kind)
  if not known then refuse(line, "nil, " .. kind, shown(got) .. (e and got[1]
    and " (kind " .. tostring(select(2, pcall(function() return e:kind() end))) .. ")" or "")) end
end

function claim.raises(line, got, part)
  if got[1] or not string.find(tostring(got[2]), part, 1, true) then
    refuse(line, "raises " .. part, shown(got))
  end
end

function claim.like(line, got, pattern)
  if not (got[1] and string.find(tostring(got[2]), pattern)) then
    refuse(line, "like " .. pattern, shown(got))
  end
end

local function pack(...) return {n = select("#", ...), ...} end
