--- How a table is written: as a list, an object or a map; and objects whose keys have come before.
-- A table gives its keys in some order. The same keys in the same order lead along the same branches
-- of a tree, and at the end of them stands how such an object is written, so nothing is sorted or
-- quoted again. Orders that differ (they may, for the same keys) have an end each, and all say the
-- same.
local K = ...
local N = K.native
local type, next, rawlen, rawget = N.type, N.next, N.rawlen, N.rawget
local find, utf8_len, sort = N.string.find, N.utf8.len, N.table.sort
local less, charge, quoted = K.stable.less, K.guard.charge, K.text.quoted

local MAX_KEY, MAX_KEYS = 64, 2000 -- bytes of a key that is kept, how many are
local MOST, BRANCHES = 16, 4000 -- keys of an object that is learned; branches: then all is forgotten

local O = {most = MOST}
K.objects = O

-- Keys -----------------------------------------------------------------------------------------

local RANK = {number = 1, string = 2, boolean = 3}

--- Numbers, then strings by bytes, then false and true.
function O.key_order(a, b)
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

-- Keys recur: the quoted form of short ones is kept, up to a bound.
local key_texts, key_count = {}, 0

--- A key as it stands before its value.
function O.key_text(key)
  local text = key_texts[key]
  if not text then
    text = quoted(key) .. ":"
    if #key > MAX_KEY then return text end
    if key_count >= MAX_KEYS then key_texts, key_count = {}, 0 end
    key_texts[key], key_count = text, key_count + 1
  end
  return text
end
local key_text = O.key_text

-- Tables ---------------------------------------------------------------------------------------

--- The length of a list, or nil: a list has the keys from 1 to there, and at least one.
function O.length(t)
  local n, count, in_order = rawlen(t), 0, true
  if n == 0 then return nil end
  for key in next, t do
    count = count + 1
    if key ~= count then in_order = false end
  end
  charge(20 + count)
  if count ~= n then return nil end
  if in_order then return n end
  for i = 1, n do
    if rawget(t, i) == nil then return nil end
  end
  return n
end

--- How another table is written: its keys, whether all are plain, how many they are, and the bytes of
-- those that are not known; nil where there is a key that no text can stand for.
function O.shape(t)
  local keys, n, plain, bytes = {}, 0, true, 0
  for key in next, t do
    n = n + 1
    keys[n] = key
    local kind = type(key)
    if kind ~= "string" then
      plain = false
      if not RANK[kind] then return nil end
    elseif not plain_keys[key] then
      bytes = bytes + #key
      if not is_plain(key) then plain = false end
    end
  end
  charge(20 + n)
  return keys, plain, n, bytes
end

-- Objects that have come before ----------------------------------------------------------------

local END = {} -- no key of a branch: code cannot get hold of it
local tree, branches = {}, 0

--- How a table without a metatable is written: {n, keys, texts}, or nil. Before each value, in this
-- order, stands its text: `{"key":`, then `,"key":`.
function O.find(t)
  local node = tree
  for key in next, t do
    node = node[key]
    if not node then return nil end
  end
  return node[END]
end

--- Keep how an object with these keys is written: plain ones, `MOST` at most, in the order that the
-- table gave.
function O.learn(keys, n)
  if branches >= BRANCHES then tree, branches = {}, 0 end
  local node, sorted, texts = tree, {}, {}
  for i = 1, n do
    local key = keys[i]
    if not node[key] then
      node[key], branches = {}, branches + 1
    end
    node, sorted[i] = node[key], key
  end
  sort(sorted)
  for i = 1, n do texts[i] = (i == 1 and "{" or ",") .. key_text(sorted[i]) end
  node[END] = {n = n, keys = sorted, texts = texts}
end
