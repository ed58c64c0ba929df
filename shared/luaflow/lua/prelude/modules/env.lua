--- The `env` module: variables that `env.variable` entries declare.
local K = ...
local N = K.native
local A, S, type = K.calls, K.scheduler, N.type
local invalid = K.errors.invalid

local E = {}

local function bad_key(what, key)
  if type(key) ~= "string" or key == "" then return invalid(what .. " expects a variable's name") end
end

-- What Python answers: a value, or nil and an error.
local function ask(name, ...)
  local value, err = S.service(name, ...)
  if err then return nil, err end
  return value
end

function E.get(key)
  local err = bad_key("env.get", key)
  if err then return nil, err end
  return ask("env.get", key)
end

function E.set(key, value)
  local err = bad_key("env.set", key) or A.check_texts("env.set", {"value"}, value)
  if err then return nil, err end
  return ask("env.set", key, value)
end

function E.get_all() return ask("env.get_all") end

K.modules.env = K.readonly("env", E)
