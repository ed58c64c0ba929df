--- Starting other workflows and processes: process.spawn*, process.exec and their builder.
local K = ...
local N = K.native
local S, A, codec, P = K.scheduler, K.calls, K.codec, K.process
local M, STATE = P.members, K.STATE
local type, setmetatable, next, sub = N.type, N.setmetatable, N.next, N.string.sub
local invalid = K.errors.invalid

-- The state of a Spawner that asks for nothing special.
local NOTHING = {options = {}, context = {}, messages = {}, name = false}

local Spawner, methods = K.class("process.Spawner")

local function spawner(options, context, name, messages)
  return setmetatable({[STATE] = {
    options = options, context = context, name = name, messages = messages,
  }}, Spawner)
end

local function extra_text(how, host, wait, watch)
  local extra = {wait = wait, host = host, watch = watch or nil}
  if next(how.options) ~= nil then extra.options = how.options end
  if next(how.context) ~= nil then extra.context = how.context end
  if how.name then extra.name = how.name end
  if how.messages[1] then extra.messages = how.messages end
  return (codec.encode(extra))
end

local function give(how, id, host, wait, watch, ...)
  local stop = S.enter(wait and "process.exec" or "process.spawn")
  if stop then return nil, stop end
  if next(how.options) ~= nil then
    local err = A.check_options("start", id, how.options)
    if err then return nil, err end
  end
  local data, wrong = A.arguments(...)
  if wrong then return nil, wrong end
  return S.emit("child", id, data, extra_text(how, host, wait, watch))
end

local function check(id, host)
  if id == nil or host == nil then return invalid("expected a workflow or process ID and a host") end
  if type(host) ~= "string" or host == "" then return invalid("invalid host: expected a text") end
  return A.check_id(id, "process")
end

local function spawn(how, watch, id, host, ...)
  local err = check(id, host)
  if err then return nil, err end
  local seq, wrong = give(how, id, host, false, watch, ...)
  if not seq then return nil, wrong end
  K.run.starting[seq] = "spawn"
  return S.await(seq, "start of a child")
end

--- Start a child and wait for its end: value, or nil and an error.
function P.run_child(how, id, host, ...)
  local seq, wrong = give(how or NOTHING, id, host, true, nil, ...)
  if not seq then return nil, wrong end
  K.run.starting[seq] = "exec"
  local held = how and A.option(how.options, "workflow", "wait_for_cancellation") == true
  local value, err = S.await(seq, held and "exec to end" or "exec")
  if err then
    -- A child's failure without a kind or a verdict is an internal one that may be retried.
    local e = err[STATE]
    if e.kind == "" then e.kind = "Internal" end
    if e.retryable == nil then e.retryable = true end
  end
  return value, err
end

local function exec(how, id, host, ...)
  local err = check(id, host)
  if err then return nil, err end
  return P.run_child(how, id, host, ...)
end

--- The start part of child `seq` is decided: a spawn resumes, an exec waits for the end.
function P.child_started(run, seq, pid, failure)
  local kind = run.starting[seq]
  run.starting[seq] = nil
  if failure then return S.resolve(run, seq, false, failure) end
  if kind == "exec" then
    run.children[seq] = pid
  elseif kind then
    S.resolve(run, seq, true, pid)
  end
end

--- A spawned child closed: an EXIT event.
function P.child_closed(run, pid, ok, value)
  local result = {}
  if ok then result.value = value else result.error = value end
  K.mailbox.event(run, {kind = "pid.exit", from = pid, result = result})
end

local function cancel_child(run, task)
  S.emit("cancel", run.children[task.seq], nil,
    '{"child":' .. task.seq .. ',"reason":"parent canceled"}')
end

-- Whether the child runs already or not: nobody here will know it.
local function give_up(run, task)
  S.forget(task.seq)
  run.starting[task.seq] = nil
  -- A function only waited: what it started goes on without it.
  if K.kind == "workflow" then cancel_child(run, task) end
  return true
end
S.withdraw.exec, S.withdraw["start of a child"] = give_up, give_up

-- With wait_for_cancellation the call returns when the child really ended.
S.withdraw["exec to end"] = function(run, task)
  cancel_child(run, task)
  return false
end

for name, watch in next, {
  spawn = false, spawn_monitored = "monitor", spawn_linked = "link",
  spawn_linked_monitored = "link_monitor",
} do
  M[name] = function(id, host, ...) return spawn(NOTHING, watch, id, host, ...) end
  methods[name] = function(s, id, host, ...) return spawn(s, watch, id, host, ...) end
end
function M.exec(id, host, ...) return exec(NOTHING, id, host, ...) end
function methods.exec(s, id, host, ...) return exec(s, id, host, ...) end

-- Builder --------------------------------------------------------------------------------------

local function with_context(s, t)
  return spawner(s.options, A.merge(s.context, t, "with_context"), s.name, s.messages)
end

local function with_options(s, t)
  return spawner(A.merge(s.options, t, "with_options"), s.context, s.name, s.messages)
end

methods.with_context, methods.with_options = with_context, with_options

function methods.with_name(s, name)
  if type(name) ~= "string" or name == "" then K.raise("with_name expects a non-empty text") end
  return spawner(s.options, s.context, name, s.messages)
end

function methods.with_message(s, topic, ...)
  if type(topic) ~= "string" or sub(topic, 1, 1) == "@" then
    K.raise("with_message expects a topic that does not start with '@'")
  end
  local copy, wrong = A.copy({topic, ...})
  if not copy then K.raise("with_message: " .. wrong) end
  local messages = {}
  for i = 1, #s.messages do messages[i] = s.messages[i] end
  messages[#messages + 1] = copy
  return spawner(s.options, s.context, s.name, messages)
end

local function same(s) return spawner(s.options, s.context, s.name, s.messages) end
methods.with_actor, methods.with_scope = same, same

function M.with_context(t) return with_context(NOTHING, t) end
function M.with_options(t) return with_options(NOTHING, t) end

K.modules.process = K.readonly("process", M)
