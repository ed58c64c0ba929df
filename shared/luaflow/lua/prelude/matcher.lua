--- Matches Lua patterns in Lua: for those that could keep the C matcher, which takes no hook, busy.
local K = ...
local N, S, P = K.native, K.stable, K.patterns
local byte, sub, find, char = N.string.byte, N.string.sub, N.string.find, N.string.char

local charge = K.guard.charge

local MAX_SETS = 500
local LONG_SET = 16 -- characters

local any = {}
for code = 0, 255 do any[code] = true end
local sets = {["."] = any}
local nsets = 0

local function set_of(text)
  local set = sets[text]
  if set then return set end
  set = {}
  if #text == 1 then
    set[byte(text)] = true
  else
    for code = 0, 255 do set[code] = find(char(code), text) ~= nil or nil end
  end
  if nsets >= MAX_SETS then sets, nsets = {["."] = any}, 0 end
  sets[text], nsets = set, nsets + 1
  return set
end

-- A class for the C matcher that finds one of the bytes of `set`; nil when they are too many.
local function class_of(set)
  local parts = {}
  for code = 0, 255 do
    if set[code] then parts[#parts + 1] = "%" .. char(code) end
    if #parts > 16 then return nil end
  end
  if not parts[1] then return nil end
  for i = 1, #parts do
    if find(parts[i], "%w", 2) then parts[i] = sub(parts[i], 2) end
  end
  return "[" .. N.table.concat(parts) .. "]"
end

-- What a match of items[k..] can begin with: {set=, at_end=, class=}, or nil for anything.
local function first_of(items, k)
  local set, at_end = {}, false
  while true do
    local item = items[k]
    if not item then return nil end
    local kind = item.kind
    if kind == "end" then
      at_end = true
      break
    elseif item.set and kind ~= "frontier" then
      for code in N.next, item.set do set[code] = true end
      if kind == "single" or kind == "+" then break end
    elseif kind ~= "open" and kind ~= "close" and kind ~= "position" then
      return nil
    end
    k = k + 1
  end
  return {set = set, at_end = at_end, class = class_of(set)}
end

local function prepare(compiled)
  local items = compiled.items
  for k = 1, #items do
    local item = items[k]
    if item.text then
      item.set = set_of(item.text)
      item.run = "^" .. (item.text == "^" and "%^" or item.text) .. "*"
    end
  end
  for k = 1, #items do items[k].rest = first_of(items, k + 1) end
  compiled.first = first_of(items, 1)
  compiled.sets = true
end

-- The match under way. No user code runs inside one, so a match never meets another.
local text, size, items, level, starts, stops
local UNFINISHED, POSITION = -1, -2
local match -- (i, k): where items[k..] match from text position i, or nil

local action = {}

-- The first position from `i` on where a match of `first` can begin; nil when there is none.
local function candidate(first, i)
  if not first then return i end
  local at
  if first.class then
    at = find(text, first.class, i)
    charge((at or size) - i + 1)
  else
    local set = first.set
    at = i
    while at <= size and not set[byte(text, at)] do at = at + 1 end
    if at > size then at = nil end
  end
  if not at and first.at_end then at = size + 1 end
  return at
end

-- The end of the run of `item` that starts at `i`: the position after it.
local function run_end(item, i)
  if item.set == any then return size + 1 end
  if #item.text > LONG_SET then
    -- C would compare each byte with each of the set, in one go.
    local set = item.set
    while i <= size and set[byte(text, i)] do i = i + 1 end
    return i
  end
  local _, stop = find(text, item.run, i)
  charge(stop - i + 1)
  return stop + 1
end

action["*"] = function(item, i, k)
  local j = run_end(item, i)
  if not items[k + 1] then return j end
  local rest = item.rest
  for from = j, i, -1 do
    if not rest or from <= size and rest.set[byte(text, from)] or from > size and rest.at_end then
      local stop = match(from, k + 1)
      if stop then return stop end
    end
  end
end

action["+"] = function(item, i, k)
  if i <= size and item.set[byte(text, i)] then return action["*"](item, i + 1, k) end
end

action["-"] = function(item, i, k)
  local last = nil -- how far the item reaches; looked up when first needed
  while true do
    local at = candidate(item.rest, i)
    if not at then return nil end
    if at > i then
      last = last or run_end(item, i)
      if at > last then return nil end
    end
    local stop = match(at, k + 1)
    if stop then return stop end
    last = last or run_end(item, at)
    i = at + 1
    if i > last then return nil end
  end
end

action["?"] = function(item, i, k)
  if i <= size and item.set[byte(text, i)] then
    local stop = match(i + 1, k + 1)
    if stop then return stop end
  end
  return match(i, k + 1)
end

local function capture(i, k, kind)
  level = level + 1
  starts[level], stops[level] = i, kind
  local stop = match(i, k + 1)
  if not stop then level = level - 1 end
  return stop
end

function action.open(_, i, k) return capture(i, k, UNFINISHED) end
function action.position(_, i, k) return capture(i, k, POSITION) end

function action.close(_, i, k)
  local l = level
  while stops[l] ~= UNFINISHED do l = l - 1 end
  stops[l] = i
  local stop = match(i, k + 1)
  if not stop then stops[l] = UNFINISHED end
  return stop
end

-- Where a fixed item ends, or nil.
local fixed = {}

function fixed.single(item, i)
  if i <= size and item.set[byte(text, i)] then return i + 1 end
end

fixed["end"] = function(_, i)
  if i > size then return i end
end

function fixed.frontier(item, i)
  local before = i > 1 and byte(text, i - 1) or 0
  local here = i <= size and byte(text, i) or 0
  if not item.set[before] and item.set[here] then return i end
end

function fixed.balance(item, i)
  if byte(text, i) ~= item.open or i > size then return nil end
  local depth = 1
  for j = i + 1, size do
    local c = byte(text, j)
    if c == item.close then
      depth = depth - 1
      if depth == 0 then return j + 1 end
    elseif c == item.open then
      depth = depth + 1
    end
  end
end

function fixed.back(item, i)
  local l = item.index
  if l < 1 or l > level or stops[l] == UNFINISHED then
    S.raise("invalid capture index %" .. l)
  end
  if stops[l] == POSITION then return nil end
  local length = stops[l] - starts[l]
  if size - i + 1 < length then return nil end
  if sub(text, starts[l], stops[l] - 1) == sub(text, i, i + length - 1) then return i + length end
end

function match(i, k)
  while true do
    local item = items[k]
    if not item then return i end
    local kind = item.kind
    local step = fixed[kind]
    if not step then return action[kind](item, i, k) end
    i = step(item, i)
    if not i then return nil end
    k = k + 1
  end
end

--- The first match at or after `init`: start, end, captures (none: {}); nil without one.
-- `last_end`: an empty match must not end there (gmatch, gsub).
function P.match(compiled, s, init, last_end)
  if not compiled.sets then prepare(compiled) end
  local i, last = init, compiled.anchored and init or #s + 1
  while i <= last do
    text, size, items, level, starts, stops = s, #s, compiled.items, 0, {}, {}
    i = candidate(compiled.first, i)
    local stop = i and i <= last and match(i, 1)
    text = nil
    if stop and stop ~= last_end then
      local captures = {}
      for l = 1, level do
        captures[l] = stops[l] == POSITION and starts[l] or sub(s, starts[l], stops[l] - 1)
      end
      return i, stop - 1, captures
    end
    if not i then return nil end
    i = i + 1
  end
end
