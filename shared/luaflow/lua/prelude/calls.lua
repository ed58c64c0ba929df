--- What funcs, process and workflow share: names, arguments, options, contexts.
local K = ...
local N = K.native
local S = K.scheduler
local codec, invalid = K.codec, K.errors.invalid
local type, find, select, next = N.type, N.string.find, N.select, N.next

local problem_args, encode_args = codec.problem_args, codec.encode_args

local A = {}
K.calls = A

local known, count = {}, 0 -- ids that were found good, and how many of them are kept
local KEPT = 200

--- The Invalid error of an id that is no "ns:name", or nil.
function A.check_id(id, what)
  if known[id] then return nil end
  if type(id) ~= "string" or id == "" then return invalid(what .. " ID required") end
  if not find(id, "^[^:]+:[^:]+$") then
    return invalid("invalid " .. what .. " ID '" .. id .. "': expected namespace:name")
  end
  if #id > 100 then return nil end
  if count >= KEPT then known, count = {}, 0 end
  known[id], count = true, count + 1
end

--- JSON array of the arguments; nil during replay, where nobody reads it. (text, error)
function A.arguments(...)
  local text, wrong
  if K.run.replaying then
    wrong = problem_args(select("#", ...), ...)
  else
    text, wrong = encode_args(select("#", ...), ...)
  end
  if wrong then return nil, invalid(wrong) end
  return text
end

--- A private copy of plain data, with its JSON. (copy, text) or nil, message
function A.copy(value)
  local text, wrong = codec.encode(value)
  if not text then return nil, wrong end
  return codec.decode(text), text
end

local function string_keys(t, what)
  if type(t) ~= "table" then K.raise(what .. " expects a table") end
  for key in next, t do
    -- others would turn the whole table into a tagged map, which nobody merges
    if type(key) ~= "string" or not N.utf8.len(key) then
      K.raise(what .. " expects a table whose keys are texts in UTF-8")
    end
  end
end

--- `base` with the entries of `t` over it, both plain; raises when `t` is no such table.
function A.merge(base, t, what)
  string_keys(t, what)
  local copy, wrong = A.copy(t)
  if not copy then K.raise(what .. ": " .. wrong) end
  local merged = {}
  for key, value in next, base do merged[key] = value end
  for key, value in next, copy do merged[key] = value end
  return merged
end

--- An option by its short key, in either spelling; the canonical one wins.
function A.option(options, group, key)
  local value = options[group .. "." .. key]
  if value == nil then value = options["temporal." .. group .. "." .. key] end
  return value
end

--- Let Python judge options: the Invalid error, or nil. `what` is "activity" or "start".
function A.check_options(what, id, options)
  local text, wrong = codec.encode(options)
  if not text then return invalid("invalid options for " .. id .. ": " .. wrong) end
  local message = S.service("options", what, id, text)
  if message then return invalid(message) end
end

--- JSON object text of options with a reserved key "context", or nil when there is nothing.
function A.options_text(options, context)
  local all
  if next(options) ~= nil then
    all = {}
    for key, value in next, options do all[key] = value end
  end
  if next(context) ~= nil then
    all = all or {}
    all.context = context
  end
  if all then return (codec.encode(all)) end
end

--- Let Python do what a module function has to wait for (functions only): value or nil, error.
function A.io(name, ...)
  local stop = S.enter(name)
  if stop then return nil, stop end
  local data, err = A.arguments(...)
  if err then return nil, err end
  return S.await(S.emit("io", name, data), name)
end

-- Work in Python is not in the budget of CPU time: what it costs counts as further questions, and
-- their number is bounded (S.service). One question is worth a thousand bytes.
local function account(cost)
  local run = K.run
  run.asked = run.asked + cost // 1000
end

--- Let Python compute what is the same on every machine; `cost` is about the bytes it looks at.
function A.compute(name, cost, ...)
  account(cost)
  return S.service(name, ...)
end

--- Let Python make a value that is recorded: value, or nil and an error.
-- Inside a side effect it is not, because all of that is.
function A.recorded(name, cost, ...)
  local value
  account(cost)
  if K.run.pure then
    value = S.service("marker", name, ...)
  else
    S.enter(name, true)
    value = K.marker(name, ...)
  end
  if K.errors.is_error(value) then return nil, value end
  return value
end

--- The Invalid error of the first argument that is no text, or nil.
function A.check_texts(what, names, ...)
  for i = 1, #names do
    local value = select(i, ...)
    if type(value) ~= "string" then
      return invalid(what .. ": the " .. names[i] .. " must be a string, got " .. type(value))
    end
    K.guard.charge(#value >> 3) -- for what C code will do with it
  end
end
