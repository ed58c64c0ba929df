--- What only processes that are no workflows do: monitors, links and registered names.
local K = ...
local N = K.native
local S, P, codec = K.scheduler, K.process, K.codec
local M = P.members
local type, find = N.type, N.string.find
local invalid, make_error = K.errors.invalid, K.errors.make
local check_destination = P.check_destination

-- Monitors and links ---------------------------------------------------------------------------

local EXPLAIN = {
  monitor = ": a child's end comes to process.events() by itself",
  link = ": a child's end comes to process.events() by itself",
}

-- Wait for the outcome of a request: true, or nil and its error.
local function request(name, dest)
  local _, err = S.await(S.emit(name, dest), name)
  if err then return nil, err end
  return true, nil
end

for _, name in N.ipairs({"monitor", "unmonitor", "link", "unlink"}) do
  M[name] = function(dest)
    if K.kind == "workflow" then
      return nil, invalid("process." .. name .. " not supported in workflow context"
        .. (EXPLAIN[name] or ""))
    end
    local wrong = check_destination(dest)
    if wrong then return nil, wrong end
    local stop = S.enter("process." .. name)
    if stop then return nil, stop end
    return request(name, dest)
  end
end

-- Names ----------------------------------------------------------------------------------------

local R = {LOCAL = 0, EVENTUAL = 1, CONSISTENT = 2, STRONG = 3}

-- Why a call on a name cannot be made, or nil.
local function refused(what, name, scope)
  if K.kind == "workflow" then
    return invalid("process.registry." .. what .. " is not available in workflows: names change"
      .. " outside the history. A workflow is found by its id: start it with the option"
      .. " workflow.id and send to its PID; look names up in a function")
  end
  if type(name) ~= "string" or name == "" or find(name, "[{}|]") then
    return invalid("process.registry." .. what .. ": the name must be a text without '{', '}' and '|'")
  end
  if scope ~= nil and (N.math.type(scope) ~= "integer" or scope < R.LOCAL or scope > R.STRONG) then
    return invalid("process.registry." .. what .. ": the scope must be LOCAL, EVENTUAL, CONSISTENT"
      .. " or STRONG of process.registry")
  end
  return S.enter("process.registry." .. what)
end

local function ask(op, name, extra)
  return S.await(S.emit(op, name, nil, codec.encode(extra)), op)
end

function R.register(name, pid, scope)
  local err = refused("register", name, scope)
  if err then return nil, err end
  if pid == nil then pid = K.info_of(K.run).pid end
  if type(pid) ~= "string" or not find(pid, "^{[^{}|]*|[^{}]+}$") then
    return nil, invalid("process.registry.register: expected a PID")
  end
  local _, failed = ask("register", name, {pid = pid, scope = scope or R.LOCAL})
  if failed then return nil, failed end
  return true, nil
end

function R.lookup(name)
  local err = refused("lookup", name)
  if err then return nil, err end
  local pid, failed = S.await(S.emit("lookup", name), "lookup")
  if failed then return nil, failed end
  if not pid then return nil, make_error("NotFound", "name not registered", false) end
  return pid, nil
end

function R.unregister(name, scope)
  local err = refused("unregister", name, scope)
  if err then return false, err end
  local done, failed = ask("unregister", name, {scope = scope or R.LOCAL})
  if failed then return false, failed end
  return done, nil
end

M.registry = K.readonly("process.registry", R)
