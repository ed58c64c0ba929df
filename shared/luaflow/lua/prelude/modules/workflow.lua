--- The `workflow` module.
local K = ...
local N = K.native
local S, A, codec, P = K.scheduler, K.calls, K.codec, K.process
local type, math_type, next, tostring = N.type, N.math.type, N.next, N.tostring
local invalid = K.errors.invalid

local W = {}
for name, member in next, K.handlers.members do W[name] = member end

local function in_workflow() return K.kind == "workflow" end

-- Reading --------------------------------------------------------------------------------------

local FIELDS = {"workflow_id", "run_id", "workflow_type", "task_queue", "namespace", "attempt"}

function W.info()
  if not in_workflow() then return nil, nil end
  local run = K.run
  local info = {history_length = run.length, history_size = run.size}
  for i = 1, #FIELDS do info[FIELDS[i]] = K.info_of(run)[FIELDS[i]] end
  return info, nil
end

function W.history_length() return in_workflow() and K.run.length or 0, nil end
function W.history_size() return in_workflow() and K.run.size or 0, nil end

-- Versions and side effects --------------------------------------------------------------------

function W.version(change_id, min, max)
  if type(change_id) ~= "string" or change_id == "" then
    return nil, invalid("workflow.version: change ID required")
  end
  if math_type(min) ~= "integer" or math_type(max) ~= "integer" or min > max then
    return nil, invalid("workflow.version: expected whole numbers min <= max")
  end
  if not in_workflow() then return max, nil end
  local run = K.run
  if not run.pure then S.room(run) end
  local known = run.versions[change_id]
  if known then return known, nil end
  if run.pure then S.impure("workflow.version") end
  local version, recorded = S.service("version", change_id, min, max)
  run.versions[change_id] = version
  if recorded then S.emit("version", change_id, tostring(version)) end
  return version, nil
end

--- A value made once by Python and taken from history ever after: uuid, random bytes.
-- What follows the name are texts, whole numbers and booleans for Python.
function K.marker(name, ...)
  local value = S.service("marker", name, ...)
  S.emit("marker", name, not K.run.replaying and codec.encode(value) or nil)
  return value
end

-- Replay does not run `fn`: it must leave the run's random and serial numbers as they were.
local function record(fn)
  local run = K.run
  run.pure = "workflow.side_effect"
  -- (an answer of Python's begins a new activation: it must go on with these numbers)
  run.pure_env = K.libs.environment(run.run_id .. "/" .. run.seq)
  K.libs.enter(run.pure_env)
  local ok, value, err = K.call_alone(fn)
  -- Before the run's own numbers are back: the words of an error may number an object.
  if not ok then value = K.errors.raised(value) end
  if ok and err ~= nil then value = K.errors.returned(err) or value end
  K.libs.enter(run.env)
  run.pure, run.pure_env = false, false
  return value
end

function W.side_effect(fn)
  if type(fn) ~= "function" then K.raise("workflow.side_effect expects a function") end
  local run = K.run
  if run.pure then S.impure("workflow.side_effect") end
  S.room(run)
  local have, value
  if in_workflow() then
    have, value = S.service("side_effect_lookup", run.seq + 1)
  end
  local text
  if have then
    if not run.replaying then text = codec.encode(value) end
  else
    local wrong
    text, wrong = codec.encode(record(fn))
    if not text then text = codec.encode(invalid("workflow.side_effect: " .. wrong)) end
    -- The same copy that replay will read.
    value = codec.decode(text)
  end
  if in_workflow() then S.emit("marker", "side_effect", text) end
  if K.errors.is_error(value) then return nil, value end
  return value
end

-- Attributes -----------------------------------------------------------------------------------

local function bad_attribute(name, value)
  local kind = type(value)
  if kind == "string" or kind == "boolean" or kind == "number" then return false end
  if kind == "table" then
    if K.isa(value, K.time_class) then return false end
    for i = 1, #value do
      if type(value[i]) ~= "string" then return true end
    end
    return #value == 0
  end
  return true
end

function W.attrs(t)
  if not in_workflow() then return nil, invalid("workflow.attrs: only available in workflow context") end
  if type(t) ~= "table" then return nil, invalid("workflow.attrs expects a table") end
  local search, memo = t.search, t.memo
  if search == nil and memo == nil then
    return nil, invalid("workflow.attrs: expected search = {...} or memo = {...}")
  end
  for key, part in K.stable.pairs({search = search, memo = memo}) do
    if type(part) ~= "table" then return nil, invalid("workflow.attrs: " .. key .. " must be a table") end
    for name, value in K.stable.pairs(part) do
      if type(name) ~= "string" then
        return nil, invalid("workflow.attrs: " .. key .. " must have text keys")
      end
      if key == "search" and bad_attribute(name, value) then
        return nil, invalid("workflow.attrs: search." .. name
          .. " must be a text, boolean, number, Time or list of texts")
      end
    end
  end
  local stop = S.enter("workflow.attrs", true)
  if stop then return nil, stop end
  local text, wrong
  if K.run.replaying then
    wrong = codec.problem({search = search, memo = memo})
  else
    text, wrong = codec.encode({search = search, memo = memo})
  end
  if wrong then return nil, invalid("workflow.attrs: " .. wrong) end
  S.emit("attrs", nil, nil, text)
  return true, nil
end

-- Children -------------------------------------------------------------------------------------

function W.exec(id, ...)
  if not in_workflow() then
    return nil, invalid("workflow.exec outside workflow context not yet supported")
  end
  local err = A.check_id(id, "workflow")
  if err then return nil, err end
  return P.run_child(nil, id, nil, ...)
end
W.call = W.exec

function W.continue_as_new(...)
  if not in_workflow() then
    return nil, invalid("workflow.continue_as_new: only available in workflow context")
  end
  return P.upgrade(nil, ...)
end

-- Waiting --------------------------------------------------------------------------------------

--- Wait until `predicate` holds, at most `timeout`: true, or false when the time is over.
function W.await(predicate, timeout)
  if type(predicate) ~= "function" then K.raise("workflow.await expects a function") end
  if predicate() then return true end
  local ns, wrong
  if timeout ~= nil then
    ns, wrong = K.durations.ns(timeout)
    if not ns then return nil, invalid(wrong) end
    if ns <= 0 then return false end
  end
  local stop = S.enter("workflow.await")
  if stop then return nil, stop end
  local run, over, seq = K.run, false, nil
  local task = run.task
  if ns then
    seq = S.emit("timer", nil, tostring(ns))
    S.on_end(seq, function()
      over = true
      if task.blocked == "await" then S.wake(run, task) end
    end)
  end
  while not over do
    run.awaiting[#run.awaiting + 1] = task
    local _, canceled = S.block("await")
    local held = not canceled and not over and predicate()
    if held or canceled then
      task.rechecks = false
      run.progress = true
      if seq and S.forget(seq) then S.emit("cancel_timer", tostring(seq)) end
      if held then return true end
      return nil, canceled
    end
  end
  task.rechecks = false
  run.progress = true
  return predicate() and true or false
end

function S.withdraw.await() return true end

--- Let those who await a predicate look again, if anything happened since they last looked.
function S.recheck(run)
  local waiting = run.awaiting
  if not run.progress or #waiting == 0 then return false end
  run.progress = false
  run.awaiting = {}
  for i = 1, #waiting do
    local task = waiting[i]
    if task.blocked == "await" then
      task.rechecks = true
      S.wake(run, task)
    end
  end
  return run.head <= run.tail
end

local function unshield(task, ok, ...)
  task.shield = task.shield - 1
  if not ok then K.guard.rethrow((...)) end
  return ...
end

--- Run `fn` with cancellation kept away from its waits; returns what it returns.
function W.shielded(fn, ...)
  if type(fn) ~= "function" then K.raise("workflow.shielded expects a function") end
  local run = K.run
  local task = run.task
  task.shield = task.shield + 1
  return unshield(task, run.pcall(fn, ...))
end

W.lock = K.lock
W.saga = K.saga

K.modules.workflow = K.readonly("workflow", W)
