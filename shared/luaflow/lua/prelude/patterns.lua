--- Reads Lua patterns: their errors, their parts, and what one can cost at worst.
local K = ...
local N, S = K.native, K.stable
local byte, sub = N.string.byte, N.string.sub

local P = {}
K.patterns = P

local MAX_PATTERN, MAX_CAPTURES = 500, 32
local CACHE_BYTES = 8000 -- of patterns; read, one takes up to some KiB a byte
local PERCENT, OPEN, CLOSE, DOLLAR, BRACKET, CARET = 37, 40, 41, 36, 91, 94
local QUANTIFIER = {[42] = "*", [43] = "+", [45] = "-", [63] = "?"}

-- Reading --------------------------------------------------------------------------------------

local function malformed(why)
  S.raise("malformed pattern (" .. why .. ")")
end

-- The position after the single-character class that starts at `i`.
local function class_end(p, i)
  local c = byte(p, i)
  i = i + 1
  if c == PERCENT then
    if i > #p then malformed("ends with '%'") end
    return i + 1
  end
  if c ~= BRACKET then return i end
  if byte(p, i) == CARET then i = i + 1 end
  repeat -- the first character, even ']', belongs to the set
    local inner = byte(p, i)
    if not inner then malformed("missing ']'") end
    i = i + 1
    if inner == PERCENT then i = i + 1 end
  until byte(p, i) == 93
  return i + 1
end

local function special(p, i, items)
  local after = byte(p, i + 1)
  if after == 98 then -- %b
    if i + 3 > #p then malformed("missing arguments to '%b'") end
    items[#items + 1] = {kind = "balance", open = byte(p, i + 2), close = byte(p, i + 3)}
    return i + 4
  elseif after == 102 then -- %f
    if byte(p, i + 2) ~= BRACKET then
      S.raise("missing '[' after '%f' in pattern")
    end
    local stop = class_end(p, i + 2)
    items[#items + 1] = {kind = "frontier", text = sub(p, i + 2, stop - 1)}
    return stop
  elseif after and after >= 48 and after <= 57 then
    items[#items + 1] = {kind = "back", index = after - 48}
    return i + 2
  end
end

local function open(p, i, items, levels)
  levels.total = levels.total + 1
  if levels.total > MAX_CAPTURES then S.raise("too many captures") end
  if byte(p, i + 1) == CLOSE then
    items[#items + 1] = {kind = "position"}
    return i + 2
  end
  levels.open = levels.open + 1
  items[#items + 1] = {kind = "open"}
  return i + 1
end

local function close(i, items, levels)
  if levels.open == 0 then S.raise("invalid pattern capture") end
  levels.open = levels.open - 1
  items[#items + 1] = {kind = "close"}
  return i + 1
end

local function single(p, i, items)
  local stop = class_end(p, i)
  local quantifier = QUANTIFIER[byte(p, stop)]
  items[#items + 1] = {kind = quantifier or "single", text = sub(p, i, stop - 1)}
  return quantifier and stop + 1 or stop
end

local function parse(p, i)
  local items, levels = {}, {open = 0, total = 0}
  while i <= #p do
    local c = byte(p, i)
    if c == OPEN then
      i = open(p, i, items, levels)
    elseif c == CLOSE then
      i = close(i, items, levels)
    elseif c == DOLLAR and i == #p then
      items[#items + 1] = {kind = "end"}
      i = i + 1
    else
      i = c == PERCENT and special(p, i, items) or single(p, i, items)
    end
  end
  if levels.open > 0 then S.raise("unfinished capture") end
  return items
end

local INFALLIBLE = {["*"] = true, ["-"] = true, ["?"] = true, open = true, close = true,
  position = true}

-- `loops`: how many nested loops over the text a failing match makes; `twice`: how many a?;
-- `weight`: steps of one comparison with a character; `walks`: whether a match can be long.
local function weigh(items)
  local last, longest, walks = 0, 0, false
  for k = 1, #items do
    local kind, set = items[k].kind, items[k].text
    if not INFALLIBLE[kind] then last = k end
    walks = walks or kind == "*" or kind == "+" or kind == "-"
    if set and #set > longest then longest = #set end
  end
  local loops, twice = 0, 0
  for k = 1, #items do
    local kind = items[k].kind
    if kind == "balance" or kind == "back" then
      loops = loops + 1
    elseif k < last then
      if kind == "?" then twice = twice + 1
      elseif kind == "*" or kind == "+" or kind == "-" then loops = loops + 1 end
    end
  end
  return loops, twice, 1 + longest // 8, walks
end

local caches, cached = {[true] = {}, [false] = {}}, 0

--- A pattern ready to be weighed and matched; raises Lua's errors for malformed ones.
-- `anchors` is false for gmatch, where `^` is a plain character.
function P.compile(p, anchors)
  local known = caches[anchors][p]
  if known then return known end
  if #p > MAX_PATTERN then
    S.raise("pattern too long (" .. #p .. " characters, at most " .. MAX_PATTERN .. ")")
  end
  local anchored = anchors and byte(p, 1) == CARET
  local items = parse(p, anchored and 2 or 1)
  local loops, twice, weight, walks = weigh(items)
  if not anchored or walks and loops == 0 then loops = loops + 1 end
  known = {
    anchored = anchored, items = items, loops = loops, twice = twice, weight = weight, sets = false,
  }
  if cached >= CACHE_BYTES then caches, cached = {[true] = {}, [false] = {}}, 0 end
  caches[anchors][p], cached = known, cached + #p + 1
  return known
end

--- The most steps, about, that the C matcher can need on a text of `length` bytes.
function P.cost(compiled, length)
  local loops, twice, weight = compiled.loops, compiled.twice, compiled.weight
  if twice == 0 then
    if loops == 0 then return weight end
    if loops == 1 then return (length + 1) * weight end
  end
  return (length + 1.0) ^ loops * 2.0 ^ twice * weight
end
