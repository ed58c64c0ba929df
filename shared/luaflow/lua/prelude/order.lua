--- next and pairs in one order everywhere.
-- The order: 1..n, the other numbers ascending, strings by bytes, false, true, luaflow's own
-- objects as they were made, then at most one other object.
-- While a loop runs, fields may be changed or set to nil. New fields are allowed too, and are not
-- visited: pairs visits the keys there were when it was called, with their values of the moment.
local K = ...
local N, S = K.native, K.stable
local type, raw_next, rawequal = N.type, N.next, N.rawequal
local rawget, rawset, pcall, error = N.rawget, N.rawset, N.pcall, N.error
local setmetatable, metatable = N.setmetatable, N.debug.getmetatable
local order, visible = S.order, S.visible

local function plain_list(t, n)
  local i = 0
  return function()
    while i < n do
      i = i + 1
      local value = t[i]
      if value ~= nil then return i, value end
    end
  end
end

local function plain_keys(t, keys)
  local i = 0
  return function()
    repeat
      i = i + 1
      local key = keys[i]
      if key == nil then return nil end
      local value = t[key]
      if value ~= nil then return key, value end
    until false
  end
end

local function listed(t, n, keys, m)
  local i, total = 0, n + m
  return function()
    while i < total do
      i = i + 1
      local key = i
      if i > n then key = keys[i - n] end
      local value = rawget(t, key)
      if value ~= nil then return key, value end
    end
  end
end

--- pairs: stable order, `__pairs` honoured, modules show their members.
function S.pairs(t)
  local mt = metatable(t)
  if mt then
    local method = rawget(mt, "__pairs")
    if method then
      local iterator, control, first = method(t)
      return iterator, control, first
    end
  end
  if type(t) ~= "table" then S.bad_argument(1, "pairs", "table", t) end
  local seen = mt and visible(t, "pairs") or t
  local n, keys, m = order(seen, "pairs")
  if not mt then
    if m == 0 then return plain_list(t, n), t, nil end
    if n == 0 then return plain_keys(t, keys), t, nil end
  end
  -- A loop can keep what it is given: the module as users know it, never its members.
  return listed(seen, n, keys, m), t, nil
end

-- next -----------------------------------------------------------------------------------------

-- Traversals under way with bare `next`, the last few of a run: table -> {n=, keys=, m=, at=}. Not a
-- weak table: cursors hold keys, and a chain of those costs the collector one pass for each.
local MOST_CURSORS = 64

local function cursors()
  local run = K.run
  if not run then return {}, nil end
  if not run.cursors then run.cursors, run.cursor_ring = {}, {at = 0} end
  return run.cursors, run.cursor_ring
end

local function keep(t, cursor)
  local known, ring = cursors()
  if known[t] == nil and ring then
    ring.at = ring.at % MOST_CURSORS + 1
    local oldest = ring[ring.at]
    if oldest then known[oldest] = nil end
    ring[ring.at] = t
  end
  known[t] = cursor
end

local function forget(t)
  local known = cursors()
  if known[t] then known[t] = false end
end

local RANK = {number = 1, string = 2}
local function rank(key)
  if key == false then return 3 end
  if key == true then return 4 end
  return RANK[type(key)] or 5
end

-- The first key in one pass: `next(t) == nil` must stay cheap.
local function first_key(t)
  local best, best_rank, objects = nil, 6, false
  for key in raw_next, t do
    local r = rank(key)
    objects = objects or r == 5
    if r < best_rank or r < 3 and r == best_rank and key < best then best, best_rank = key, r end
  end
  if not objects then return best end
  local _, keys = order(t, "next")
  return best_rank < 5 and best or keys[1]
end

local function first(t)
  forget(t)
  local value = rawget(t, 1)
  if value ~= nil then return 1, value end
  local key = raw_next(t)
  if key == nil then return nil end
  key = first_key(t)
  return key, rawget(t, key)
end

local function position(cursor, key)
  local n, keys, at = cursor.n, cursor.keys, cursor.at
  if at > n and rawequal(keys[at - n], key) then return at end
  if type(key) == "number" and key >= 1 and key <= n and key % 1 == 0 then return key end
  for i = 1, cursor.m do
    if rawequal(keys[i], key) then return n + i end
  end
end

-- A cursor that stands on `key`. A key removed by the loop is put back while the order is made:
-- what follows it must still be what followed it before.
local function cursor_at(t, key)
  if key ~= key then S.raise("invalid key to 'next'") end
  local removed = rawget(t, key) == nil
  if removed then rawset(t, key, true) end
  local ok, n, keys, m = pcall(order, t, "next")
  if removed then rawset(t, key, nil) end
  if not ok then error(n, 0) end
  local cursor = {n = n, keys = keys, m = m, at = 0}
  cursor.at = position(cursor, key)
  keep(t, cursor)
  return cursor
end

--- next: the same order as pairs, also while fields are changed or set to nil.
function S.next(t, key)
  if type(t) ~= "table" then S.bad_argument(1, "next", "table", t) end
  local seen = visible(t, "next")
  -- Below, a missing key is put back for a moment: never into what every run shares.
  if seen ~= t and key ~= nil and rawget(seen, key) == nil then S.raise("invalid key to 'next'") end
  t = seen
  if key == nil then return first(t) end
  local cursor = cursors()[t]
  local at = cursor and position(cursor, key)
  if not at then
    cursor = cursor_at(t, key)
    at = cursor.at
  end
  local n, keys = cursor.n, cursor.keys
  for i = at + 1, n + cursor.m do
    local following = i
    if i > n then following = keys[i - n] end
    local value = rawget(t, following)
    if value ~= nil then
      cursor.at = i
      return following, value
    end
  end
  forget(t)
  return nil
end
